"""`repro doctor`: a machine looked at before a cluster does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from repro.cluster import submission
from repro.cluster.preflight import preflight
from repro.commands.configuration import ConfigurationParser, ConfiguredRequest
from repro.commands.options import argument, option
from repro.commands.study.part import Part
from repro.config import Config
from repro.errors import UserError
from repro.studies.plan import Progress

EXAMPLES = (
    "oyedotun-table2 --preset full",
    "--config configs/oyedotun-imagenet.yaml --trainer.devices 4",
    "oyedotun-table2 --time 12:00:00",
)


@dataclass(frozen=True, kw_only=True)
class Doctor(ConfiguredRequest):
    """What the machine is to run: a study, or a configuration."""

    target: str | None = argument(
        "a study's name, or the path of a .yaml file, in place of a configuration",
        nargs="?",
        default=None,
        metavar="STUDY",
    )
    preset: str | None = option("the study's size (default: its first)", default=None)
    time: str | None = option("time limit of one life, as sbatch takes it", default=None)


def parser() -> ConfigurationParser:
    """The command's parser."""
    return ConfigurationParser("doctor", Doctor, main, EXAMPLES)


def main(request: Doctor) -> int:
    """Print a line a check; the status is 1 if any fails."""
    limit = submission.seconds(request.time) if request.time else None
    if request.target is None:
        if request.preset:
            raise UserError("--preset is a study's size; name the study: repro doctor STUDY --preset NAME")
        return 0 if passes([request.config], limit=limit) else 1
    runs = request.config.runs
    if request.config != replace(Config(), runs=runs):
        raise UserError("repro doctor looks at a study or at a configuration; give one of the two")
    part = Part(name=request.target, preset=request.preset, runs=runs)
    configs = [cell.config for cell in part.cells]
    return 0 if passes(configs, limit=limit, longest=longest(part.progress())) else 1


def longest(states: Sequence[Progress]) -> float | None:
    """Estimated seconds of the longest run; None if not known."""
    known = [each.remaining for each in states if each.remaining is not None]
    return max(known) if known and math.isfinite(max(known)) else None


def passes(configs: Sequence[Config], *, limit: float | None = None, longest: float | None = None) -> bool:
    """Print each check of `preflight`; whether all are fine."""
    fine = True
    for each in preflight(configs, limit=limit, longest=longest):
        print(each, flush=True)
        fine = fine and each.ok
    return fine
