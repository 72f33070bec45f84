"""What a study says of itself: the one list of these fields, for its file, its manifest and its section of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Description:
    """What stands in a study's file, beside its runs."""

    name: str
    title: str
    question: str
    """What the study asks, in a sentence."""
    paper: str = ""
    """Oyedotun or Nguyen; empty for a study of one's own."""
    artefact: str = ""
    """Table 1, Fig. 9 ..."""
    expected: str = ""
    """What should come out."""
    paper_values: Mapping[str, Mapping[str, float | str]] = field(default_factory=dict)
    """The paper's numbers by cell and quantity (accuracies in per cent): 62.81, or "62.81 ± 0.39"."""
    paper_runs: int = 1
    """How many runs the paper's deviations are over."""
    paper_shows: Mapping[str, str] = field(default_factory=dict)
    """What the paper's figure shows, in words, by the name of ours."""
    figures: Sequence[str] | None = None
    """Figures to show, by name (`repro.figures.names`); all that the runs suffice for if not given."""
    claims: Sequence[str] = ()
    """Checkable statements (`repro.studies.claims`)."""

    @property
    def where(self) -> str:
        """The artefact: ``Oyedotun, Table 1``; empty for a study of one's own."""
        return ", ".join(part for part in (self.paper, self.artefact) if part)


@dataclass(frozen=True, kw_only=True)
class SizedDescription(Description):
    """A study's description at one of its presets."""

    preset: str = ""
    reductions: Sequence[str] = ()
    """What is smaller than our full size, in words; none means full size."""
    command: str = ""
    """The command that makes its runs."""

    @property
    def reduced(self) -> bool:
        """Whether anything is smaller than our full size."""
        return bool(self.reductions)

    @property
    def scale(self) -> str:
        """``reduced`` or ``full``; a study without a paper is neither."""
        return ("reduced" if self.reduced else "full") if self.paper else ""
