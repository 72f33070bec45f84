"""What a report needs to know of a study, beside its runs, as a file in their folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from repro.config import require_name
from repro.errors import refusing
from repro.records import MANIFEST, replace_text
from repro.studies.description import SizedDescription
from repro.studies.study import StudyCell

_TEXTS = ("study", "title", "question", "paper", "artefact", "expected", "preset", "command")
_KINDS: dict[str, Any] = {"paper_shows": {}, "paper_values": {}, "paper_runs": 1}


def content(about: SizedDescription, cells: Sequence[StudyCell], names: Sequence[str]) -> dict[str, Any]:
    """What the study says of itself at a preset, and its cells with the folder names of their runs."""
    fields = dataclasses.asdict(about)
    return {
        "study": fields.pop("name"),
        **fields,
        "reduced": about.reduced,
        "cells": [
            {"label": cell.label, "seed": cell.seed, "run": name} for cell, name in zip(cells, names, strict=True)
        ],
    }


def description(content: Mapping[str, Any]) -> SizedDescription:
    """What a manifest's content says of its study.

    Raises:
        KeyError: Something is missing.
        TypeError: It is none: a stranger's may say anything.
        UserError: The study's name is none.
    """
    require_name(content["study"], "a study")
    shows, values, runs = (content.get(key, usual) for key, usual in _KINDS.items())
    texts = [content.get(key, "") for key in _TEXTS] + [*shows.values(), *(cell["label"] for cell in content["cells"])]
    for listed in [content.get("figures") or [], *(content.get(key, []) for key in ("claims", "reductions"))]:
        texts += listed if isinstance(listed, list) else [None]
    numbers = [runs, *(cell["seed"] for cell in content["cells"])]
    if not all(isinstance(text, str) for text in texts) or not all(type(one) is int for one in numbers) or runs < 1:
        raise TypeError("texts, lists of texts and numbers are due")
    if not all(isinstance(of_cell, dict) for of_cell in values.values()):
        raise TypeError("paper_values are due by cell and quantity")
    fields = {field.name for field in dataclasses.fields(SizedDescription)}
    return SizedDescription(name=content["study"], **{key: value for key, value in content.items() if key in fields})


def write(folder: Path, values: dict[str, Any]) -> None:
    """Put the manifest into the study's folder."""
    with refusing(f"cannot write '{folder}'", "choose another --runs"):
        folder.mkdir(parents=True, exist_ok=True)
        replace_text(folder / MANIFEST, json.dumps(values, indent=1))
