"""What a paper claims, as statements about numbers that can be checked."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from repro.errors import UserError, unknown

QUANTITIES = ("train_accuracy", "test_accuracy", "first_layer_growth", "seconds")
"""What a claim may speak of: accuracies in per cent; growth of the first layer's largest singular value; seconds."""

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
            if side.quantity not in QUANTITIES:
                raise unknown("quantity", side.quantity, QUANTITIES, extra=f"in claim '{claim}'")


def evaluate(claim: str, values: Mapping[str, Mapping[str, Sequence[float]]]) -> Verdict:
    """Check a claim against measured values.

    A cell against a number must hold for every seed; a cell against a cell compares the means over seeds. A value that
    is not a number makes any claim about it fail.

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
    if isinstance(left, _Cell) and isinstance(right, _Cell):
        sides = [[fmean(side)] for side in sides]
    holds = all(not (math.isnan(a) or math.isnan(b)) and _OPERATORS[sign](a, b) for a in sides[0] for b in sides[1])
    shown = [", ".join(f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}" for value in side) for side in sides]
    return Verdict(claim, "holds" if holds else "fails", f"{shown[0]} {sign} {shown[1]}")
