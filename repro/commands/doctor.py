"""`repro doctor`: a machine looked at before a cluster does."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from repro.cluster import submission
from repro.cluster.preflight import passes, preflight
from repro.commands.configuration import ConfigurationParser, ConfiguredRequest
from repro.commands.options import Action, argument, option
from repro.commands.study.part import Part
from repro.config import Config
from repro.errors import UserError

EXAMPLES = (
    "oyedotun-table2 --preset full",
    "--config configs/oyedotun-imagenet.yaml --trainer.devices 4",
    "oyedotun-table2 --time 12:00:00",
)


class _Doctor(ConfiguredRequest):
    target: str | None = argument(
        "a study's name, or the path of a .yaml file, in place of a configuration",
        nargs="?",
        default=None,
        metavar="STUDY",
    )
    preset: str | None = option("the study's size (default: its first)", default=None)
    time: str | None = option("time limit of one job, as sbatch takes it", default=None)


def main(request: _Doctor) -> int:
    """Print a line a check; the status is 1 if any fails."""
    limit = submission.seconds(request.time) if request.time else None
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
