"""What the papers state, read from ``statements.yaml``, and the experiments on it. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from repro.errors import unknown
from repro.importing import load

if TYPE_CHECKING:
    from repro.theory.result import Result


@dataclass(frozen=True, kw_only=True)
class Condition:
    """Something that a statement asks for, or needs."""

    text: str
    """The paper's words if it has a place; else ours, which go on from “holds under”."""
    place: str = ""
    """Where the paper asks for it; empty: it does not say so."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A statement of one of the papers."""

    place: str
    """Where in the paper."""
    text: str
    """The paper's words; … is what we left out."""
    experiment: str
    """Import path below `repro.theory` of ``experiment(seed) -> Result``."""
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    """What it asks for and what it needs beyond that, by names of ours."""

    @property
    def paper(self) -> str:
        """Oyedotun or Nguyen."""
        return self.experiment.partition(".")[0].capitalize()


def _statement(entry: Mapping[str, Any]) -> Statement:
    conditions = {
        name: Condition(text=said) if isinstance(said, str) else Condition(place=said[0], text=said[1])
        for name, said in entry.get("conditions", {}).items()
    }
    return Statement(**{**entry, "conditions": conditions})


_FILE = Path(__file__).with_name("statements.yaml").read_text(encoding="utf-8")
STATEMENTS = {
    name: _statement(entry)
    for name, entry in yaml.load(_FILE, getattr(yaml, "CSafeLoader", yaml.SafeLoader)).items()  # as fast as it can
}
"""In reading order."""
PAPERS = ("oyedotun", "nguyen")


def chosen(names: Sequence[str]) -> list[str]:
    """The statements that are asked for, in reading order: by name, or a paper's; all if none is named."""
    for name in names:
        if name not in STATEMENTS and name not in PAPERS:
            raise unknown("statement", name, [*PAPERS, *STATEMENTS], extra="repro theory --list shows all")
    return [name for name in STATEMENTS if not names or name in names or name.partition("-")[0] in names]


def examine(name: str, seed: int = 0) -> Result:
    """Test a statement of the papers by its numerical experiment, which takes seconds.

    Args:
        name: A key of `repro.theory.STATEMENTS`, such as ``oyedotun-theorem-2`` (`repro theory --list` lists them).
        seed: Seed of all random numbers.

    Returns:
        The verdict, the cases from which it follows, their numbers, and figures.

    Example:
        >>> print(examine("oyedotun-lemma-1").verdict)
        holds
    """
    result: Result = load(f"repro.theory.{STATEMENTS[name].experiment}")(seed)
    return result
