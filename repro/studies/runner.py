"""Run a study: every cell in turn, finished ones skipped, failed ones named at the end."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from repro.config import Config
from repro.errors import UserError
from repro.records import RunDirectory, replace_text
from repro.studies.study import Cell, Study
from repro.training.interrupt import Interrupted
from repro.training.runs import locate, start

MANIFEST = "manifest.json"


def folder(study: Study, preset: str | None, runs: str | Path = "runs") -> Path:
    """Where a study's runs are at a preset."""
    return Path(runs) / study.folder(preset)


def write_manifest(study: Study, preset: str | None, cells: Sequence[Cell], runs: str | Path, command: str) -> Path:
    """Write what a report needs to know of a study beside its runs: the paper's values, the claims, the cells.

    Returns:
        The study's folder.
    """
    size = study.preset(preset)
    content = {
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
        "claims": list(study.claims),
        "cells": [
            {"label": cell.label, "seed": cell.seed, "run": locate(cell.config, Config()).name} for cell in cells
        ],
    }
    place = folder(study, preset, runs)
    try:
        place.mkdir(parents=True, exist_ok=True)
        replace_text(place / MANIFEST, json.dumps(content, indent=1))
    except OSError as error:
        raise UserError(f"cannot write '{place}': {error.strerror}; choose another --runs") from error
    return place


def run_study(cells: Sequence[Cell], *, again: bool = False) -> list[tuple[Cell, RunDirectory | None]]:
    """Run every cell; go on after a failure.

    Returns:
        Each cell with its run, None where it failed (its traceback has been printed).

    Raises:
        Interrupted: When asked to stop; the cell at hand has its checkpoint.
        UserError: For a mistake in the configuration: it would be the same for every cell.
    """
    done: list[tuple[Cell, RunDirectory | None]] = []
    for number, cell in enumerate(cells, 1):
        label = f"{cell.label} seed {cell.seed} ({number}/{len(cells)})"
        try:
            outcome = start(cell.config, again=again, label=label)
        except (UserError, Interrupted):
            raise
        except Exception:
            traceback.print_exc()
            print(f"{label}: failed, going on with the next", file=sys.stderr)
            done.append((cell, None))
            continue
        if outcome.action == "skipped":
            print(f"{label}: {outcome.state['status']} before, nothing to do", file=sys.stderr)
        done.append((cell, outcome.run))
    return done
