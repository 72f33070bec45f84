"""What an experiment on a statement hands back: cases, numbers, panels, and the verdict that follows from the cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from repro.figures.panels import Panel

Conditions = Literal["complete", "as stated", "beside"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A setting in which a statement's conclusion was looked for."""

    setting: str
    """What was set up, in half a sentence."""
    conditions: Conditions
    """``complete``: everything that the statement needs, also what it does not say. ``as stated``: the paper's own
    conditions, one that it does not say left out. ``beside``: one of the paper's own conditions dropped, or another
    way to the same end: shown for comparison."""
    holds: bool
    """Whether the conclusion was found."""
    found: str
    """The numbers, in words."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """An experiment's outcome."""

    computed: str
    """What was computed, in a sentence or two."""
    cases: Sequence[Case]
    under: str = ""
    """What the statement needs beyond its words, where a case without it fails."""
    remark: str = ""
    """What else a reader should know."""
    numbers: Mapping[str, object] = field(default_factory=dict)
    """Numbers by name: floats, strings, lists and mappings of them."""
    figures: Sequence[Sequence[Panel]] = ()
    """Panels, a row for each figure."""
    caption: str = ""
    """What the figures show."""

    @property
    def verdict(self) -> str:
        """``holds``, ``holds under …`` or ``not supported``, from the cases.

        Not supported: it fails in a case with complete conditions, or no such case was found. Holds under …: it fails
        somewhere under the paper's own conditions. What stands beside the statement decides nothing.
        """
        complete = [case.holds for case in self.cases if case.conditions == "complete"]
        as_stated = [case.holds for case in self.cases if case.conditions == "as stated"]
        if not complete or not all(complete):
            return "not supported"
        return "holds" if all(as_stated) else f"holds under {self.under}"
