"""What an experiment on a statement hands back: cases, numbers, panels, and the verdict that follows from the cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from repro.figures.panels import Panel
from repro.theory.statement import Condition


@dataclass(frozen=True, kw_only=True)
class Case:
    """A setting in which a statement's conclusion was looked for. What it does not drop, it meets."""

    setting: str
    """What was set up, in half a sentence."""
    holds: bool
    """Whether the conclusion was found."""
    found: str
    """The numbers, in words."""
    drops: Sequence[Condition] = ()
    """The conditions of the statement that are not met here."""
    instead: str = ""
    """What was looked for in place of the statement's conclusion; empty: that conclusion."""

    @property
    def conditions(self) -> Literal["complete", "as stated", "beside"]:
        """How the case stands to the statement.

        ``beside``: one of the paper's own conditions is dropped, or something else was looked for; it decides nothing.
        ``as stated``: the paper's conditions are met, one that it does not say is not. ``complete``: all are met.
        """
        if self.instead or any(condition.place for condition in self.drops):
            return "beside"
        return "as stated" if self.drops else "complete"


@dataclass(frozen=True, kw_only=True)
class Result:
    """An experiment's outcome."""

    computed: str
    """What was computed, in a sentence or two."""
    cases: Sequence[Case]
    remark: str = ""
    """What else a reader should know."""
    numbers: Mapping[str, object] = field(default_factory=dict)
    """Numbers by name: floats, strings, lists and mappings of them."""
    figures: Sequence[Sequence[Panel]] = ()
    """Panels, a row for each figure."""
    caption: str = ""
    """What the figures show."""

    @property
    def under(self) -> str:
        """The conditions that the paper does not say and without which the conclusion was missed."""
        failing = [case for case in self.cases if case.conditions == "as stated" and not case.holds]
        return " and ".join(dict.fromkeys(condition.text for case in failing for condition in case.drops))

    @property
    def verdict(self) -> str:
        """``holds``, ``holds under …`` or ``not supported``, from the cases.

        Not supported: it fails in a case with complete conditions, or no such case was found. Holds under …: it fails
        where only something is missing that the paper does not say. What stands beside the statement decides nothing.
        """
        complete = [case.holds for case in self.cases if case.conditions == "complete"]
        if not complete or not all(complete):
            return "not supported"
        return f"holds under {self.under}" if self.under else "holds"
