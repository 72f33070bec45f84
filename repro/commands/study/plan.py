"""`repro study plan`: the runs of a study and what they cost."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from repro.commands.options import option
from repro.commands.study.part import Part
from repro.errors import UserError
from repro.runs.validation import check_names
from repro.studies.plan import RESULTS, Progress, Rate, duration, kind, remember
from repro.text import shell


@dataclass(frozen=True, kw_only=True)
class Plan(Part):
    """What is planned."""

    measure: bool = option("time some steps here where no run has told", default=False)


def plan(request: Plan) -> int:
    """Print every run with what is left of it, and what all take together."""
    for cell in request.cells:
        check_names(cell.config)
    planned = request.progress()
    if request.measure:
        _measure(planned, Path(request.runs))
        planned = request.progress()
    for each in planned:
        pace = f"{each.rate.seconds:.3g} s each on {each.rate.device}" if each.rate else ""
        left = f"{duration(each.remaining)} left" if each.remaining is not None else "time not known"
        print(f"{each.name:40} {each.status:12} {each.steps:>9,} steps  {left:>14}  {pace}".rstrip())
    size = request.study.preset(request.preset)
    print(_time(request, planned))
    print(f"cost as stated by the study: {size.cost or 'not stated'}")
    print(f"disk: {_disk(planned)}")
    for line in size.reductions:
        print(f"reduced: {line}")
    print(f"run all: {shell('repro', 'study', 'run', request.name, *request.size, '--runs', request.runs)}")
    return 0


def _time(request: Plan, planned: Sequence[Progress]) -> str:
    known = [each.remaining for each in planned if each.remaining is not None]
    unknown = len(planned) - len(known)
    if math.fsum(known) or not unknown:
        time = f"{len(planned)} runs, {duration(math.fsum(known))} of device time left"
    else:
        time = f"{len(planned)} runs, device time left: not known"
    if not unknown:
        return time
    more = "" if request.measure else "; --measure times some steps of each kind here"
    return (
        f"{time}, and {unknown} runs whose step time is not known from any run in '{request.runs}' or '{RESULTS}'{more}"
    )


def _disk(planned: Sequence[Progress]) -> str:
    if usages := [each.run.disk_usage() for each in planned if each.run is not None]:
        return f"{sum(usages) / len(usages) * len(planned) / 1e6:,.0f} MB, by the runs that there are"
    checkpoints = [
        each.rate.checkpoint * each.cell.config.trainer.keep_checkpoints
        for each in planned
        if each.rate is not None and each.rate.checkpoint
    ]
    if checkpoints:
        return f"{sum(checkpoints) / len(checkpoints) * len(planned) / 1e6:,.0f} MB of checkpoints"
    return "not known; --measure looks at what a checkpoint of each kind takes"


def _measure(planned: Sequence[Progress], runs: Path) -> None:
    """Time some steps of every kind of run of which nothing is known, and remember that."""
    from repro.runs.step_timing import time_run

    unknown = {kind(each.cell.config): each for each in planned if each.remaining is None}
    for number, each in enumerate(unknown.values(), 1):
        print(f"timing {each.name} ({number}/{len(unknown)})", file=sys.stderr, flush=True)
        try:
            remember(runs, each.cell.config, Rate(*time_run(each.cell.config, each.steps)))
        except UserError as error:
            print(f"repro: {each.name} cannot be timed: {error}", file=sys.stderr)
