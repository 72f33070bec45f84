"""`repro study plan` and `status`: the runs of a study, what they cost and how far they are."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from repro.commands.options import option
from repro.commands.study.part import Part
from repro.errors import UserError
from repro.runs.validation import check_names
from repro.studies.match import match
from repro.studies.plan import RESULTS, Progress, Rate, duration, kind, remember
from repro.text import say, shell


class Plan(Part):
    """A request to plan a study's runs."""

    measure: bool = option("time some steps here if no run shows how long they take", default=False)


def plan(request: Plan) -> int:
    """Print every run with what is left of it, and what all take together."""
    for cell in request.cells:
        check_names(cell.config)
    planned = request.progress()
    if request.measure:
        _measure(planned, Path(request.runs))
        planned = request.progress()
    for state in planned:
        pace = f"{state.rate.seconds:.3g} s each on {state.rate.device}" if state.rate else ""
        left = f"{duration(state.remaining)} left" if state.remaining is not None else "time not known"
        print(f"{state.name:40} {state.status:12} {state.steps:>9,} steps  {left:>14}  {pace}".rstrip())
    size = request.study.preset(request.preset)
    print(_time(request, planned))
    print(f"cost as stated by the study: {size.cost or 'not stated'}")
    print(f"disk: {_disk(planned)}")
    for line in size.reductions:
        print(f"reduced: {line}")
    print(f"run all: {shell('repro', 'study', 'run', request.name, *request.size, '--runs', request.runs)}")
    return 0


def _time(request: Plan, planned: Sequence[Progress]) -> str:
    seconds = [state.remaining for state in planned if state.remaining is not None]
    unknown = len(planned) - len(seconds)
    if math.fsum(seconds) or not unknown:
        time = f"{len(planned)} runs, {duration(math.fsum(seconds))} of device time left"
    else:
        time = f"{len(planned)} runs, device time left: not known"
    if not unknown:
        return time
    more = "" if request.measure else "; --measure times some steps of each kind here"
    runs = f"{unknown} run{'s' * (unknown > 1)}"
    return f"{time}, and {runs} whose step time is not known from any run in '{request.runs}' or '{RESULTS}'{more}"


def _disk(planned: Sequence[Progress]) -> str:
    if usages := [state.run.disk_usage() for state in planned if state.run is not None]:
        return f"{sum(usages) / len(usages) * len(planned) / 1e6:,.0f} MB, by the runs that there are"
    checkpoints = [
        state.rate.checkpoint * state.cell.config.trainer.keep_checkpoints
        for state in planned
        if state.rate is not None and state.rate.checkpoint
    ]
    if checkpoints:
        return f"{sum(checkpoints) / len(checkpoints) * len(planned) / 1e6:,.0f} MB of checkpoints"
    return "not known; --measure looks at what a checkpoint of each kind takes"


def _measure(planned: Sequence[Progress], runs: Path) -> None:
    """Time some steps of every kind of run of which nothing is known, and remember that."""
    from repro.runs.step_timing import time_run

    unknown = {kind(state.cell.config): state for state in planned if state.remaining is None}
    for number, state in enumerate(unknown.values(), 1):
        print(f"timing {state.name} ({number}/{len(unknown)})", file=sys.stderr, flush=True)
        try:
            remember(runs, state.cell.config, Rate(*time_run(state.cell.config, state.steps)))
        except UserError as error:
            say(f"{state.name} cannot be timed: {error}")


def status(request: Part) -> int:
    """Print a line a run, what is left of all, and runs that belong to the study no longer."""
    kept, _ = match(request.cells, RESULTS / request.folder.name)
    runs, strays = match(request.cells, request.folder)
    states = request.progress(runs)
    for state, record in zip(states, kept, strict=True):
        percent = f"{100 * state.step / state.steps:.0f} %" if state.steps else ""
        left = "time not known" if state.remaining is None else f"{duration(state.remaining)} left"
        left = "" if state.remaining == 0 else left
        reason = "" if state.run is None else state.run.state.get("reason", "")
        more = reason if state.status in ("failed", "stopped") else ""
        if state.run is None and record is not None:
            more = f"an earlier run's record: {record.path}"
        print(f"{state.name:40} {state.status:12} {percent:>6}  {left:>14}  {more}".rstrip())
    print(together(states))
    for stray in strays:
        if not stray.damaged:
            print(f"no longer part of the study: {stray.run.path}: {stray.difference}")
    return 0


def together(states: Sequence[Progress]) -> str:
    """How many runs are in which state, and how long the rest takes."""
    counts = Counter(state.status for state in states)
    remaining = [state.remaining for state in states]
    least = math.fsum(seconds for seconds in remaining if seconds is not None)
    whole = ", ".join(f"{number} {status}" for status, number in counts.items())
    if None not in remaining:
        return f"{whole}; {duration(least)} left"
    return f"{whole}; {f'{duration(least)} left and more that is not known' if least else 'time left: not known'}"
