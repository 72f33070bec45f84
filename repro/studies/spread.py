"""Several runs' values, ours and a paper's: mean, deviation, and Welch's test between two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from repro.errors import UserError


class Summary(NamedTuple):
    """Some runs' values: what a table prints of them, and what a test needs."""

    mean: float
    deviation: float | None
    """Sample standard deviation; None for one value."""
    runs: int


def summary(values: Sequence[float]) -> Summary:
    """Mean, sample standard deviation and number of values."""
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return Summary(mean, None, len(values))
    return Summary(mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)), len(values))


def published(value: object, runs: int) -> Summary:
    """A paper's value: a number, or mean ± deviation over so many runs.

    Raises:
        UserError: If it is neither.
    """
    mean, sign, deviation = str(value).partition("±")
    try:
        return Summary(float(mean), float(deviation) if sign else None, runs if sign else 1)
    except ValueError:
        raise UserError(f"paper value '{value}' is neither a number nor MEAN ± DEVIATION") from None


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
