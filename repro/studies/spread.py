"""Several runs' values, ours and a paper's: mean, deviation, and Welch's test between two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from repro.errors import UserError
from repro.measurements.comparisons import number


class Summary(NamedTuple):
    """Some runs' values: what a table prints of them, and what a test needs."""

    mean: float
    deviation: float | None
    """Sample standard deviation; None for one value."""
    runs: int


def summary(values: Sequence[float]) -> Summary:
    """Mean, sample standard deviation and number of values; not finite where the values, or their squares, are not."""
    mean = _sum(values) / len(values)
    if len(values) < 2:
        return Summary(mean, None, len(values))
    squares = _sum([(value - mean) * (value - mean) for value in values])
    return Summary(mean, math.sqrt(squares / (len(values) - 1)), len(values))


def _sum(values: Sequence[float]) -> float:
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):  # infinities of both signs, or too much
        return math.nan


def published(value: object, runs: int) -> Summary:
    """A paper's value: a number, or mean ± deviation over so many runs.

    Raises:
        UserError: If it is neither.
    """
    mean, sign, deviation = str(value).partition("±")
    read = [found for part in (mean, deviation if sign else "0") if (found := number(part)) is not None]
    if len(read) < 2 or not all(map(math.isfinite, read)):
        raise UserError(f"paper value '{value}' is neither a number nor MEAN ± DEVIATION")
    return Summary(read[0], read[1] if sign else None, runs if sign else 1)


def welch(one: Summary, other: Summary) -> float:
    """The two-sided p-value of Welch's t-test, which respects both sides' spread; NaN where it cannot be made.

    It needs several finite values on both sides, and some spread on one.
    """
    from scipy import stats

    deviations = [side.deviation for side in (one, other)]
    if None in deviations or not any(deviations) or not all(map(math.isfinite, filter(None, deviations))):
        return math.nan
    return float(stats.ttest_ind_from_stats(*one, *other, equal_var=False).pvalue)


def chance(p: float) -> str:
    """A p-value as it is printed: two digits, and none that a handful of runs could not know."""
    return "< 0.001" if p < 0.001 else f"{p:.2g}"
