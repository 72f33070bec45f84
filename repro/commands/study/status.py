"""`repro study status`: how far a study's runs are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from repro.commands.study.part import Part
from repro.studies.match import match
from repro.studies.plan import RESULTS, Progress, duration


def status(request: Part) -> int:
    """Print a line a run, what is left of all, and runs that belong to the study no longer."""
    kept, _ = match(request.cells, RESULTS / request.place.name)
    states = request.progress()
    for each, record in zip(states, kept, strict=True):
        share = f"{100 * each.step / each.steps:.0f} %" if each.steps else ""
        left = "time not known" if each.remaining is None else f"{duration(each.remaining)} left"
        left = "" if each.remaining == 0 else left
        more = each.run.state.get("reason", "") if each.run is not None and each.status == "failed" else ""
        if each.run is None and record is not None:
            more = f"an earlier run's record: {record.path}"
        print(f"{each.name:40} {each.status:12} {share:>6}  {left:>14}  {more}".rstrip())
    print(together(states))
    for stray in match(request.cells, request.place)[1]:
        print(f"no longer part of the study: {stray.run.path}: {stray.difference}")
    return 0


def together(states: Sequence[Progress]) -> str:
    """How many runs are in which state, and how long the rest takes."""
    counts = Counter(each.status for each in states)
    remaining = [each.remaining for each in states]
    known = math.fsum(seconds for seconds in remaining if seconds is not None)
    whole = ", ".join(f"{number} {status}" for status, number in counts.items())
    if None not in remaining:
        return f"{whole}; {duration(known)} left"
    return f"{whole}; {f'{duration(known)} left and more that is not known' if known else 'time left: not known'}"
