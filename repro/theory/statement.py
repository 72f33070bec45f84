"""What a paper states, in its own words: the statement, its conditions, and the experiment on it. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Paper = Literal["Oyedotun", "Nguyen"]


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

    paper: Paper
    place: str
    """Where in the paper."""
    text: str
    """The paper's words; … is what we left out."""
    experiment: str
    """Import path below `repro.theory` of ``experiment(seed) -> Result``."""
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    """What it asks for and what it needs beyond that, by names of ours."""


def said(place: str, text: str) -> Condition:
    """A condition that the paper states."""
    return Condition(text=text, place=place)


def unsaid(text: str) -> Condition:
    """A condition that the paper leaves out."""
    return Condition(text=text)
