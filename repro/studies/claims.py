"""What a paper claims, as statements about numbers that can be checked."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, NamedTuple

from repro.errors import UserError, unknown
from repro.studies import quantities

LEVEL = 0.05
"""A difference between means counts where Welch's test rejects its absence at this level, one-sided."""

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_CLAIM = re.compile(r"^\s*(\S+)\s*(<=|>=|<|>)\s*(\S+)\s*$")


@dataclass(frozen=True)
class Verdict:
    """Whether a claim holds, with the numbers that were compared."""

    claim: str
    verdict: Literal["holds", "fails", "not run"]
    detail: str


@dataclass(frozen=True)
class _Cell:
    label: str
    quantity: str


def _operand(text: str, claim: str) -> float | _Cell:
    try:
        return float(text)
    except ValueError:
        label, dot, quantity = text.rpartition(".")
        if not dot:
            raise UserError(
                f"claim '{claim}': '{text}' is neither a number nor CELL.QUANTITY, such as resnet110.test_accuracy"
            ) from None
        return _Cell(label, quantity)


def _parse(claim: str) -> tuple[float | _Cell, str, float | _Cell]:
    match = _CLAIM.match(claim)
    if match is None:
        raise UserError(f"claim '{claim}' cannot be read; write CELL.QUANTITY, one of < <= >= >, then a number or cell")
    left, sign, right = match.groups()
    return _operand(left, claim), sign, _operand(right, claim)


def check(claim: str, labels: Iterable[str]) -> None:
    """Refuse a claim that cannot be read or that speaks of a cell or quantity that the study does not have."""
    left, _, right = _parse(claim)
    for side in (left, right):
        if isinstance(side, _Cell):
            if side.label not in labels:
                raise unknown("cell", side.label, labels, extra=f"in claim '{claim}'")
            quantities.check(side.quantity, f"in claim '{claim}'")


def evaluate(claim: str, values: Mapping[str, Mapping[str, Sequence[float]]]) -> Verdict:
    """Check a claim against measured values.

    A cell against a number must hold for every seed. A cell against a cell compares the means over seeds; where both
    have several seeds, the difference must also be beyond their spread by Welch's one-sided t-test (`LEVEL`). A value
    that is not a number makes any claim about it fail.

    Args:
        claim: ``"plainnet110.test_accuracy <= 20"`` or ``"resnet110.test_accuracy > plainnet110.test_accuracy"``.
        values: Values by cell and quantity, one for each seed that was run.
    """
    left, sign, right = _parse(claim)
    sides: list[list[float]] = []
    for side in (left, right):
        found = list(values.get(side.label, {}).get(side.quantity, [])) if isinstance(side, _Cell) else [side]
        if not found:
            return Verdict(claim, "not run", f"{side.label} has no {side.quantity}" if isinstance(side, _Cell) else "")
        sides.append(found)
    note = ""
    if isinstance(left, _Cell) and isinstance(right, _Cell):
        if min(len(side) for side in sides) > 1:
            larger, smaller = sides if ">" in sign else reversed(sides)
            p = welch(summary(larger), summary(smaller)) / 2
            p = p if fmean(larger) > fmean(smaller) else 1 - p
            note = f" (Welch's one-sided p = {p:.2g})"
            if p >= LEVEL:
                means = f"{fmean(sides[0]):.4g} {sign} {fmean(sides[1]):.4g}"
                return Verdict(claim, "fails", f"{means} is within the spread{note}")
        sides = [[fmean(side)] for side in sides]
    holds = all(not (math.isnan(a) or math.isnan(b)) and _OPERATORS[sign](a, b) for a in sides[0] for b in sides[1])
    return Verdict(claim, "holds" if holds else "fails", f"{_shown(sides[0])} {sign} {_shown(sides[1])}{note}")


def _shown(values: Sequence[float]) -> str:
    return ", ".join(f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}" for value in values)


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
    """The two-sided p-value of Welch's t-test, which respects both sides' spread; NaN where one side has none."""
    from scipy import stats

    if one.deviation is None or other.deviation is None:
        return math.nan
    if one.deviation == other.deviation == 0:
        return float(one.mean == other.mean)
    return float(stats.ttest_ind_from_stats(*one, *other, equal_var=False).pvalue)
