"""`repro doctor`: a machine looked at before a cluster does, and a cluster tried before long runs do."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from repro.cluster import slurm
from repro.cluster.preflight import passes, preflight
from repro.commands.configuration import ConfigurationParser
from repro.commands.options import Action, argument, option
from repro.commands.slurm.rehearsal import Rehearsal, rehearse
from repro.commands.study.part import Part
from repro.config import Config
from repro.errors import UserError

EXAMPLES = (
    "oyedotun-table2 --preset full --time 12:00:00",
    "--config configs/oyedotun-imagenet.yaml --trainer.devices 4",
    "--rehearse --partition gpu --setup modules.sh",
    "--rehearse --partition spot --preempt-by=--partition=urgent --resubmit --trainer.devices 2",
)


class _Doctor(Rehearsal):
    target: str | None = argument(
        "a study's name, or the path of a .yaml file, in place of a configuration",
        nargs="?",
        default=None,
        metavar="STUDY",
    )
    preset: str | None = option("the study's size (default: its first)", default=None, metavar="SIZE")
    rehearse: bool = option(
        "submit small jobs, stop each in another way (requeue, SIGTERM, time limit), and report whether they resume; "
        "the options of jobs are for these (--time: 5 minutes)",
        default=False,
    )


def main(request: _Doctor) -> int:
    """Print a line a check; the status is 1 if any fails."""
    if request.rehearse:
        if request.target is not None:
            raise UserError("--rehearse trains a small run of its own, and no study")
        return rehearse(request)
    limit = slurm.seconds(request.time) if request.time else None
    if request.target is None:
        if request.preset:
            raise UserError("--preset is a study's size; name the study: repro doctor STUDY --preset NAME")
        return 0 if passes(preflight([request.config], limit=limit)) else 1
    runs = request.config.runs
    if request.config != replace(Config(), runs=runs):
        raise UserError("repro doctor looks at a study or at a configuration; give one of the two")
    part = Part(name=request.target, preset=request.preset, runs=runs)
    return 0 if passes(part.preflight(limit)) else 1


parser = partial(ConfigurationParser, examples=EXAMPLES, action=Action(_Doctor, main))
