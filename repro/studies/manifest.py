"""What a report needs to know of a study, beside its runs: as data, and as a file in their folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from repro.errors import UserError
from repro.records import MANIFEST, replace_text
from repro.studies.study import Study, StudyCell


def content(
    study: Study, preset: str | None, cells: Sequence[StudyCell], names: Sequence[str], command: str
) -> dict[str, Any]:
    """The paper's values, the claims, the cells with the folder names of their runs."""
    size = study.preset(preset)
    return {
        "study": study.name,
        "title": study.title,
        "question": study.question,
        "paper": study.paper,
        "artefact": study.artefact,
        "expected": study.expected,
        "preset": preset or study.default_preset,
        "reduced": bool(size.reductions),
        "reductions": list(size.reductions),
        "command": command,
        "paper_values": study.paper_values,
        "paper_runs": study.paper_runs,
        "paper_shows": study.paper_shows,
        "figures": study.figures,
        "claims": study.claims_at(preset),
        "cells": [
            {"label": cell.label, "seed": cell.seed, "run": name} for cell, name in zip(cells, names, strict=True)
        ],
    }


def write(folder: Path, values: dict[str, Any]) -> None:
    """Put the manifest into the study's folder.

    Raises:
        UserError: If it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_text(folder / MANIFEST, json.dumps(values, indent=1))
    except OSError as error:
        raise UserError(f"cannot write '{folder}': {error.strerror}; choose another --runs") from error
