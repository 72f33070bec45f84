"""What W&B is told of a run: its id, how it is listed and grouped, and its configuration. Imports no torch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro.config import Config, to_flat
from repro.errors import UserError
from repro.records import MANIFEST, RunDirectory
from repro.records.form import read_json
from repro.tracking.wandb_environment import recorded, said
from repro.tracking.wandb_names import LONGEST_TAG, fitted, without_places


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
    notes: str | None = None
    """None: those that W&B has."""


def identifier(run: RunDirectory) -> str:
    """A run's id at W&B: the one kept in its directory; for a record without one, made of what the record is."""
    state = run.state
    kept = str(state.get("wandb_id") or "")
    made = hashlib.sha256(f"{run.study}/{run.name}/{state.get('created')}".encode()).hexdigest()[:8]
    return kept if re.fullmatch(r"[\w-]{1,64}", kept, re.ASCII) else made


def describe(run: RunDirectory, config: Config, *, key: str | None = None) -> Description:
    """What W&B is told of a run; its labels are those of W&B's environment variables, now or when it trained, if any.

    The key is its id at W&B, by default its `identifier`.
    """
    study, lives, labels = manifest(run.path.parent), run.lives, {**recorded(run.state), **said()}
    kind = {"all": "train", "output": "train-output"}[config.model.train]
    job_type = labels.get("job_type") or ("solve-output" if config.model.solver == "exact" else kind)
    short = [{key: life.get(key) for key in ("started", "host", "commit", "dirty", "slurm")} for life in lives]
    told = {**to_flat(config), "environment": lives[-1] if lives else {}, "lives": short}
    return Description(
        identifier=key or identifier(run),
        name=fitted(str(labels.get("name") or run.name)),
        group=fitted(str(labels.get("group") or run.study)),
        job_type=fitted(str(job_type)),
        tags=tags(study, config.model.network, *labels.get("tags", ())),
        config=told if config.log.places else without_places(told),
        notes=labels.get("notes"),
    )


def tags(study: Mapping[str, Any], *more: str) -> list[str]:
    """Tags of what belongs to a study: paper, artefact, preset, and more."""
    labels = [study.get("paper"), study.get("artefact"), study.get("preset"), *more]
    return list(dict.fromkeys(fitted(str(tag), LONGEST_TAG) for tag in labels if tag))


def manifest(folder: Path) -> dict[str, Any]:
    """What a study has written of itself into the folder of its runs; nothing if it is no study's."""
    try:
        return read_json(folder / MANIFEST, {})
    except UserError:
        return {}
