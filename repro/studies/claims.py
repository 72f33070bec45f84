"""What a paper claims, as statements about numbers that can be checked."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, NamedTuple

from repro.errors import UserError, unknown
from repro.measurements import quantities
from repro.measurements.comparisons import COMPARISON, OPERATORS

LEVEL = 0.05
"""A difference between means counts where Welch's test rejects its absence at this level, one-sided."""

_SOURCE = re.compile(
    r"(Abstract|Table|Fig\.|Eq\.|[Ss]ection|Theorem|Lemma|Proposition|Remarks?|Assumption|Definition)(?!\w)"
)
_FORM = "CLAIM | SOURCE IN THE PAPER, and where a number is claimed with one bound | WHY ONE"


@dataclass(frozen=True)
class Verdict:
    """Whether a claim holds, with the numbers that were compared."""

    claim: str
    verdict: Literal["holds", "fails", "not run"]
    detail: str


@dataclass(frozen=True)
class Cell:
    """A quantity of a study's cell."""

    label: str
    quantity: str


@dataclass(frozen=True)
class Claim:
    """A statement about numbers: ``low first left sign right``, most often without the first two."""

    left: float | Cell
    sign: str
    right: float | Cell
    source: str
    """Where in the paper, with the paper's value where it has one."""
    low: float | Cell | None = None
    first: str = ""
    one_bound: str = ""
    """Why there is one bound, where the paper's value is a number and the claim has one bound only."""

    @property
    def cells(self) -> list[Cell]:
        """The quantities that it speaks of."""
        return [side for side in (self.low, self.left, self.right) if isinstance(side, Cell)]

    @property
    def compares_cells(self) -> bool:
        """Whether it is an order of two cells, which the paper has without numbers."""
        return len(self.cells) > 1

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value that it allows; infinite where it says nothing."""
        low, high = -math.inf, math.inf
        for a, sign, b in self.parts:
            if isinstance(a, Cell) and not isinstance(b, Cell):
                low, high = (b if sign in (">", ">=", "==") else low), (b if sign in ("<", "<=", "==") else high)
            elif isinstance(b, Cell) and not isinstance(a, Cell):
                low, high = (a if sign in ("<", "<=", "==") else low), (a if sign in (">", ">=", "==") else high)
        return low, high

    @property
    def parts(self) -> list[tuple[float | Cell, str, float | Cell]]:
        """The comparisons that it makes, each to hold."""
        first = [] if self.low is None else [(self.low, self.first, self.left)]
        return [*first, (self.left, self.sign, self.right)]


def _operand(text: str, claim: str) -> float | Cell:
    try:
        return float(text)
    except ValueError:
        label, dot, quantity = text.rpartition(".")
        if not dot:
            raise UserError(
                f"claim '{claim}': '{text}' is neither a number nor CELL.QUANTITY, such as resnet110.test_accuracy"
            ) from None
        return Cell(label, quantity)


def parse(claim: str) -> Claim:
    """Read ``90 <= resnet110.test_accuracy <= 95 | Table 2 (93.29)``.

    Raises:
        UserError: It cannot be read.
    """
    text, source, one_bound = (part.strip() for part in [*claim.split("|"), "", ""][:3])
    match = COMPARISON.fullmatch(text)
    if match is None:
        raise UserError(
            f"claim '{claim}' cannot be read; write CELL.QUANTITY, one of < <= == >= >, then a number or cell, or LOW "
            "<= CELL.QUANTITY <= HIGH"
        )
    low = _operand(match["low"], claim) if match["low"] else None
    left, right = (_operand(match[name], claim) for name in ("left", "right"))
    return Claim(left, match["sign"], right, source, low, match["first"] or "", one_bound)


def check(claim: str, labels: Iterable[str], *, of_paper: bool = True) -> None:
    """Refuse a claim that cannot be read, that is not the paper's, or that speaks of what the study does not have.

    Args:
        claim: The claim.
        labels: The study's cells.
        of_paper: Whether it is a paper's: those of one's own study need no source.

    Raises:
        UserError: It names no place in the paper; it has one bound on a number without saying why; or there is no such
            cell or quantity.
    """
    parsed = parse(claim)
    if of_paper and not _SOURCE.search(parsed.source):
        raise UserError(f"claim '{claim}' names no source in the paper, as Table 1 or section 6.2; write {_FORM}")
    one = any(map(math.isinf, parsed.bounds)) and parsed.sign != "==" and not parsed.compares_cells
    if of_paper and one and not parsed.one_bound:
        raise UserError(f"claim '{claim}' has one bound; write LOW <= CELL.QUANTITY <= HIGH | SOURCE, or {_FORM}")
    for side in parsed.cells:
        if side.label not in labels:
            raise unknown("cell", side.label, labels, extra=f"in claim '{claim}'")
        quantities.check(side.quantity, f"in claim '{claim}'")


def evaluate(claim: str, values: Mapping[str, Mapping[str, Sequence[float]]]) -> Verdict:
    """Check a claim against measured values.

    A cell against numbers must hold for every seed. A cell against a cell compares the means over seeds; where both
    have several seeds, the difference must also be beyond their spread by Welch's one-sided t-test (`LEVEL`). A value
    that is not a number makes any claim about it fail.

    Args:
        claim: See `parse`.
        values: Values by cell and quantity, one for each seed that was run.
    """
    parsed = parse(claim)
    for side in parsed.cells:
        if not values.get(side.label, {}).get(side.quantity):
            return Verdict(claim, "not run", f"{side.label} has no {side.quantity}")
    verdicts, shown = [], ""
    for left, sign, right in parsed.parts:
        sides = [
            list(values[side.label][side.quantity]) if isinstance(side, Cell) else [side] for side in (left, right)
        ]
        holds, note = _compare(sides, sign) if parsed.compares_cells else (_all(sides, sign), "")
        if parsed.compares_cells:
            sides = [[fmean(side)] for side in sides]
        verdicts.append(holds)
        shown = f"{shown or _shown(sides[0])} {sign} {_shown(sides[1])}{note}"
    return Verdict(claim, "holds" if all(verdicts) else "fails", shown)


def _all(sides: Sequence[Sequence[float]], sign: str) -> bool:
    pairs = [(a, b) for a in sides[0] for b in sides[1]]
    return all(not (math.isnan(a) or math.isnan(b)) and OPERATORS[sign](a, b) for a, b in pairs)


def _compare(sides: Sequence[Sequence[float]], sign: str) -> tuple[bool, str]:
    """Whether means are in this order, beyond the spread where both have one, and Welch's p in words."""
    holds, note = _all([[fmean(side)] for side in sides], sign), ""
    if min(len(side) for side in sides) > 1:
        larger, smaller = sides if ">" in sign else reversed(sides)
        p = welch(summary(larger), summary(smaller)) / 2
        p = p if fmean(larger) > fmean(smaller) else 1 - p
        note = f"{'' if p < LEVEL else ' is within the spread'} (Welch's one-sided p = {p:.2g})"
        holds = holds and p < LEVEL
    return holds, note


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
