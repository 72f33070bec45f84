"""What a paper claims, as statements about numbers that can be checked."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from repro.errors import UserError, unknown
from repro.measurements import quantities
from repro.measurements.comparisons import COMPARISON, number
from repro.studies.spread import published

_SOURCE = re.compile(
    r"(Abstract|Table|Fig\.|Eq\.|[Ss]ection|Theorem|Lemma|Proposition|Remarks?|Assumption|Definition)(?!\w)"
)
_FORM = "CLAIM | SOURCE IN THE PAPER, and where a number is claimed with one bound | WHY ONE"


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
    """Read ``90 <= resnet110.test_accuracy <= 95 | Table 2 (93.29)``."""
    text, source, one_bound, *more = (part.strip() for part in [*claim.split("|"), "", ""])
    if any(more):
        raise UserError(f"claim '{claim}' has more than three parts; write {_FORM}")
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

    A paper's names its place there, and why if it has one bound on a number; those of one's own study need no source.
    """
    parsed = parse(claim)
    if of_paper and not _SOURCE.search(parsed.source):
        raise UserError(f"claim '{claim}' names no source in the paper, as Table 1 or section 6.2; write {_FORM}")
    low, high = parsed.bounds
    if low > high or (parsed.left == parsed.right and isinstance(parsed.left, Cell)):
        raise UserError(f"claim '{claim}' can never hold, or always does; write LOW <= CELL.QUANTITY <= HIGH | SOURCE")
    one = any(map(math.isinf, parsed.bounds)) and parsed.sign != "==" and not parsed.compares_cells
    if of_paper and one and not parsed.one_bound:
        raise UserError(f"claim '{claim}' has one bound; write LOW <= CELL.QUANTITY <= HIGH | SOURCE, or {_FORM}")
    for side in parsed.cells:
        if side.label not in labels:
            raise unknown("cell", side.label, labels, extra=f"in claim '{claim}'")
        quantities.check(side.quantity, f"in claim '{claim}'")


def near(
    values: Mapping[str, Mapping[str, float | str]], within: float, place: str, stated: Sequence[str]
) -> list[str]:
    """A claim for each accuracy of the paper's: that it is met, give or take so many points.

    Args:
        values: The paper's, by cell and quantity.
        within: How many points.
        place: Where in the paper.
        stated: Other claims; what one of them has exactly is left out.
    """
    exact = [cell for claim in map(parse, stated) if claim.sign == "==" for cell in claim.cells]
    made = []
    for label, of_cell in values.items():
        for quantity in of_cell:
            if quantity in ("train_accuracy", "test_accuracy") and Cell(label, quantity) not in exact:
                mean = published(of_cell[quantity], 1).mean
                low, high = max(mean - within, 0), min(mean + within, 100)
                made.append(f"{low:.2f} <= {label}.{quantity} <= {high:.2f} | {place} ({of_cell[quantity]})")
    return made
