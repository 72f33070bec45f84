"""What the papers state, read from ``statements.yaml``: statements, conditions, experiments on them. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


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
