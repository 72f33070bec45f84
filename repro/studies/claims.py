"""What a paper claims, as statements about numbers that can be checked."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from repro.errors import UserError, unknown
from repro.measurements import quantities
from repro.measurements.comparisons import COMPARISON, OPERATORS, number

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
    verdict: Literal["holds", "mixed", "fails", "not run"]
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
    if (value := number(text)) is not None:
        return value
    label, dot, quantity = text.rpartition(".")
    if not dot:
        raise UserError(
            f"claim '{claim}': '{text}' is neither a number nor CELL.QUANTITY, such as resnet110.test_accuracy"
        )
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


def evaluate(claim: str, values: Mapping[str, Mapping[str, Mapping[int, float]]]) -> Verdict:
    """Check a claim against measured values, seed by seed.

    It holds if it does in every seed, fails if it does in none, and is mixed otherwise. An order of two cells must also
    be beyond the spread of both, where both have several seeds, by Welch's one-sided t-test (`LEVEL`); one that is
    within the spread is mixed. A value that is not a number makes any claim about it fail.

    Args:
        claim: See `parse`.
        values: Values by cell, quantity and seed, of the seeds that were run. A cell with one seed stands against each
            of another's.
    """
    parsed = parse(claim)
    found = {cell: values.get(cell.label, {}).get(cell.quantity, {}) for cell in parsed.cells}
    for cell, by_seed in found.items():
        if not by_seed:
            return Verdict(claim, "not run", f"{cell.label} has no {cell.quantity}")
    if not (seeds := _seeds(list(found.values()))):
        return Verdict(claim, "not run", "no seed was run of all that it compares")
    held = [
        all(_holds(_at(left, seed, found), sign, _at(right, seed, found)) for left, sign, right in parsed.parts)
        for seed in seeds
    ]
    shown, within = "", False
    for left, sign, right in parsed.parts:
        p = _order(left, sign, right, found)
        within |= p >= LEVEL
        note = "" if math.isnan(p) else f"{' is within the spread' * (p >= LEVEL)} (Welch's one-sided p = {p:.2g})"
        shown += f"{'' if shown else _shown(left, found, parsed)} {sign} {_shown(right, found, parsed)}{note}"
    if len(seeds) > 1:
        shown += f"; holds in {sum(held)} of {len(seeds)} seeds"
    shown += _of_these(parsed.cells, values)
    return Verdict(claim, "holds" if all(held) and not within else "mixed" if any(held) else "fails", shown)


def _of_these(cells: Sequence[Cell], values: Mapping[str, Mapping[str, Mapping[int, float]]]) -> str:
    """How many of each count of infinite κ are of perfectly singular matrices, in words."""
    counts = [
        values[cell.label].get(cell.quantity.removesuffix("infinite") + "singular")
        for cell in cells
        if cell.quantity.endswith("_infinite") and any(values[cell.label][cell.quantity].values())
    ]
    known = [in_digits(list(singular.values())) for singular in counts if singular]
    return f" (perfectly singular of these: {' and '.join(known)})" if known else ""


Found = Mapping[Cell, Mapping[int, float]]
"""Values by seed."""


def _seeds(sides: Sequence[Mapping[int, float]]) -> list[int]:
    """The seeds that all sides have; one that has a single seed stands against any."""
    several = [side for side in sides if len(side) > 1] or sides[:1]
    return [seed for seed in several[0] if all(seed in side for side in several)]


def _at(side: float | Cell, seed: int, found: Found) -> float:
    if not isinstance(side, Cell):
        return side
    return found[side][seed] if len(found[side]) > 1 else next(iter(found[side].values()))


def _holds(left: float, sign: str, right: float) -> bool:
    return not (math.isnan(left) or math.isnan(right)) and OPERATORS[sign](left, right)


def _order(left: float | Cell, sign: str, right: float | Cell, found: Found) -> float:
    """Welch's one-sided p of there being no such order of two cells; NaN where one has no spread."""
    if not (isinstance(left, Cell) and isinstance(right, Cell)):
        return math.nan
    one, other = (summary(list(found[side].values())) for side in (left, right))
    larger, smaller = (one, other) if ">" in sign else (other, one)
    p = welch(larger, smaller) / 2
    return p if larger.mean > smaller.mean else 1 - p


def _shown(side: float | Cell, found: Found, claim: Claim) -> str:
    """Every value of a cell; the mean, where cells are compared."""
    values = list(found[side].values()) if isinstance(side, Cell) else [side]
    return in_digits([summary(values).mean] if claim.compares_cells else values)


def in_digits(values: Sequence[float]) -> str:
    """Values as claims show them."""
    return ", ".join(f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}" for value in values)


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
    read = [number(part) for part in (mean, deviation if sign else "0")]
    if None in read or not all(map(math.isfinite, read)):
        raise UserError(f"paper value '{value}' is neither a number nor MEAN ± DEVIATION")
    return Summary(read[0], read[1] if sign else None, runs if sign else 1)


def welch(one: Summary, other: Summary) -> float:
    """The two-sided p-value of Welch's t-test, which respects both sides' spread; NaN where one side has none."""
    from scipy import stats

    if one.deviation is None or other.deviation is None or not math.isfinite(one.deviation + other.deviation):
        return math.nan
    if one.deviation == other.deviation == 0:
        return float(one.mean == other.mean)
    return float(stats.ttest_ind_from_stats(*one, *other, equal_var=False).pvalue)
