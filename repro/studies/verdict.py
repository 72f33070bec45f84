"""What became of a claim, by the runs that there are."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from repro.measurements.comparisons import OPERATORS
from repro.studies.claims import Cell, Claim, parse
from repro.studies.spread import chance, summary, welch

LEVEL = 0.05
"""A difference between means counts where Welch's test rejects its absence at this level, one-sided."""

Values = Mapping[str, Mapping[str, Mapping[int, float]]]
"""By cell, quantity and seed."""
Seeds = Mapping[str, Collection[int]]
"""By cell."""


@dataclass(frozen=True)
class Verdict:
    """Whether a claim holds, with the numbers that were compared."""

    claim: str
    verdict: Literal["holds", "mixed", "fails", "not run", "left out"]
    detail: str


@dataclass(frozen=True)
class _Found:
    """A quantity of a cell, seed by seed; NaN where the run diverged before it had one."""

    values: Mapping[int, float]
    asked: Collection[int]
    """The seeds that it should have."""
    diverged: Collection[int]

    @property
    def shown(self) -> list[str]:
        return ["diverged" if seed in self.diverged else in_digits([value]) for seed, value in self.values.items()]

    @property
    def mean(self) -> str:
        there = [value for seed, value in self.values.items() if seed not in self.diverged]
        return in_digits([summary(there).mean]) if there else "diverged"

    @property
    def alone(self) -> bool:
        """Whether it has one seed by design, and not since others are still to be run."""
        return len(self.asked) == 1

    def only(self, seeds: Collection[int]) -> _Found:
        """The seeds that are compared."""
        return self if self.alone else replace(self, values={seed: self.values[seed] for seed in seeds})

    def at(self, seed: int) -> float:
        """Its value; of one seed alone the same beside every other's."""
        return self.values[seed] if seed in self.values else next(iter(self.values.values()))


_All = Mapping[Cell, _Found]


def evaluate(claim: str, values: Values, *, asked: Seeds | None = None, diverged: Seeds | None = None) -> Verdict:
    """Check a claim against measured values, seed by seed.

    It holds if it does in every seed, fails if it does in none, and is mixed otherwise. An order of two cells must also
    be beyond the spread of both, where both have several seeds, by Welch's one-sided t-test (`LEVEL`); one that is
    within the spread is mixed. A value that is not a number makes any claim about it fail, and so does a run that
    diverged before it had one. Seeds in which all cells of a comparison diverged tell nothing, and are left out.

    Args:
        claim: See `repro.studies.claims.parse`.
        values: Of the seeds that were run.
        asked: The seeds that belong to the study at this size; a claim about a cell that has none is left out. A cell
            that has one stands against each of another's. None: those of the values.
        diverged: The seeds that ended without a finite loss.
    """
    parsed = parse(claim)
    outside = [] if asked is None else [cell.label for cell in parsed.cells if not asked.get(cell.label)]
    if outside:
        return Verdict(claim, "left out", f"{' and '.join(dict.fromkeys(outside))}: not part of this size")
    found = {cell: _find(cell, values, asked, diverged or {}) for cell in parsed.cells}
    for cell, of_cell in found.items():
        if not of_cell.values:
            why = f"has no {cell.quantity}" if values.get(cell.label) else "was not run"
            return Verdict(claim, "not run", f"{cell.label} {why}")
    if not (seeds := _seeds(list(found.values()))):
        return Verdict(claim, "not run", "no seed was run of all that it compares")
    lacking = _not_run(found)
    labels = dict.fromkeys(cell.label for cell in parsed.cells)
    if len(labels) > 1:
        gone = [(diverged or {}).get(label, ()) for label in labels]
        if not (seeds := [seed for seed in seeds if not all(seed in of_cell for of_cell in gone)]):
            return Verdict(claim, "left out", f"{' and '.join(labels)} diverged{lacking}")
    found = {cell: of_cell.only(seeds) for cell, of_cell in found.items()}
    held = [
        all(_holds(_at(left, seed, found), sign, _at(right, seed, found)) for left, sign, right in parsed.parts)
        for seed in seeds
    ]
    shown, within = "", False
    for left, sign, right in parsed.parts:
        note, inside = _test(left, sign, right, found)
        within |= inside
        shown += f"{'' if shown else _shown(left, found, parsed)} {sign} {_shown(right, found, parsed)}{note}"
    if len(seeds) > 1:
        shown += f"; holds in {sum(held)} of {len(seeds)} seeds"
    shown += lacking + _of_these(parsed.cells, values)
    return Verdict(claim, "holds" if all(held) and not within else "mixed" if any(held) else "fails", shown)


def _find(cell: Cell, values: Values, asked: Seeds | None, diverged: Seeds) -> _Found:
    by_seed = values.get(cell.label, {}).get(cell.quantity, {})
    without = [seed for seed in diverged.get(cell.label, ()) if seed not in by_seed]
    by_seed = {**by_seed, **dict.fromkeys(without, math.nan)}
    return _Found(by_seed, list(by_seed) if asked is None else asked[cell.label], without)


def _seeds(sides: Sequence[_Found]) -> list[int]:
    """The seeds that all sides have; one of which a single seed is asked for stands against any."""
    several = [side for side in sides if not side.alone] or sides[:1]
    return [seed for seed in several[0].values if all(seed in side.values for side in several)]


def _at(side: float | Cell, seed: int, found: _All) -> float:
    return found[side].at(seed) if isinstance(side, Cell) else side


def _holds(left: float, sign: str, right: float) -> bool:
    return not (math.isnan(left) or math.isnan(right)) and OPERATORS[sign](left, right)


def _test(left: float | Cell, sign: str, right: float | Cell, found: _All) -> tuple[str, bool]:
    """What Welch's one-sided test says of an order of two cells, and whether that is within their spread."""
    if not (isinstance(left, Cell) and isinstance(right, Cell)):
        return "", False
    one, other = (summary(list(found[side].values.values())) for side in (left, right))
    if one.deviation == other.deviation == 0:
        return " (no spread over the seeds)", False
    if one.runs != other.runs and 1 in (one.runs, other.runs):
        return f" (no test: one seed of {(left if one.runs == 1 else right).label})", False
    larger, smaller = (one, other) if ">" in sign else (other, one)
    p = welch(larger, smaller) / 2
    if math.isnan(p):
        return "", False
    p = p if larger.mean > smaller.mean else 1 - p
    told = chance(p)
    told = f"(Welch's one-sided p {told if told.startswith('<') else f'= {told}'})"
    return f"{' is within the spread' * (p >= LEVEL)} {told}", p >= LEVEL


def _shown(side: float | Cell, found: _All, claim: Claim) -> str:
    """Every value of a cell; the mean, where cells are compared."""
    if not isinstance(side, Cell):
        return in_digits([side])
    return found[side].mean if claim.compares_cells else ", ".join(found[side].shown)


def _not_run(found: _All) -> str:
    """The seeds that are asked for and were not run, in words."""
    whose: dict[tuple[int, ...], dict[str, None]] = {}
    for cell, of_cell in found.items():
        if lacking := tuple(sorted(set(of_cell.asked) - set(of_cell.values))):
            whose.setdefault(lacking, {})[cell.label] = None
    told = [
        f"seed{'s' * (len(seeds) > 1)} {' and '.join(map(str, seeds))} of {' and '.join(labels)}"
        for seeds, labels in whose.items()
    ]
    return f"; not run: {', '.join(told)}" if told else ""


def _of_these(cells: Sequence[Cell], values: Values) -> str:
    """How many of each count of infinite κ are of perfectly singular matrices, in words."""
    counts = [
        values[cell.label].get(cell.quantity.removesuffix("infinite") + "singular")
        for cell in cells
        if cell.quantity.endswith("_infinite") and any(values.get(cell.label, {}).get(cell.quantity, {}).values())
    ]
    known = [in_digits(list(singular.values())) for singular in counts if singular]
    return f" (perfectly singular of these: {' and '.join(known)})" if known else ""


def in_digits(values: Sequence[float]) -> str:
    """Values as claims show them."""
    return ", ".join(f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}" for value in values)
