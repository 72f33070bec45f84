"""What a report needs to know of a study, beside its runs, as a file in their folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from repro.errors import refusing
from repro.records import MANIFEST, replace_text
from repro.studies.description import SizedDescription
from repro.studies.study import StudyCell


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
    """What a manifest's content says of its study; `KeyError` and `TypeError` if it is none."""
    fields = {field.name for field in dataclasses.fields(SizedDescription)}
    return SizedDescription(name=content["study"], **{key: value for key, value in content.items() if key in fields})


def write(folder: Path, values: dict[str, Any]) -> None:
    """Put the manifest into the study's folder."""
    with refusing(f"cannot write '{folder}'", "choose another --runs"):
        folder.mkdir(parents=True, exist_ok=True)
        replace_text(folder / MANIFEST, json.dumps(values, indent=1))
