"""What W&B is told of a run: its id, how it is listed and grouped, and its configuration. Imports no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro.config import Config, to_flat
from repro.records import MANIFEST, RunDirectory

_LONGEST_TAG = 64  # W&B refuses longer ones


@dataclass(frozen=True, kw_only=True)
class Description:
    """What W&B lists and groups a run by."""

    identifier: str
    """W&B's id, the same in all lives of a run."""
    name: str
    group: str
    job_type: str
    tags: Sequence[str]
    config: Mapping[str, Any]


def identifier(run: RunDirectory) -> str:
    """A run's id at W&B: the one kept in its directory; for a record without one, made of what the record is."""
    state = run.state
    made = hashlib.sha256(f"{run.study}/{run.name}/{state.get('created')}".encode()).hexdigest()[:8]
    return str(state.get("wandb_id") or made)


def describe(run: RunDirectory, config: Config, *, key: str | None = None) -> Description:
    """What W&B is told of a run.

    Args:
        run: The run's directory.
        config: Its configuration.
        key: Its id at W&B. Default: `identifier`.
    """
    study, lives = manifest(run.path.parent), run.lives
    kind = {"all": "train", "output": "train-output"}[config.model.train]
    short = [{key: life.get(key) for key in ("started", "host", "commit", "dirty", "slurm")} for life in lives]
    return Description(
        identifier=key or identifier(run),
        name=run.name,
        group=run.study,
        job_type="solve-output" if config.model.solver == "exact" else kind,
        tags=tags(study, config.model.network),
        config={**to_flat(config), "environment": lives[-1] if lives else {}, "lives": short},
    )


def tags(study: Mapping[str, Any], *more: str) -> list[str]:
    """Tags of what belongs to a study: paper, artefact, preset, and more."""
    labels = [study.get("paper"), study.get("artefact"), study.get("preset"), *more]
    return [str(tag)[:_LONGEST_TAG] for tag in dict.fromkeys(labels) if tag]


def manifest(folder: Path) -> dict[str, Any]:
    """What a study has written of itself into the folder of its runs; nothing if it is no study's."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
