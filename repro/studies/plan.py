"""What a study's runs cost and how far they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from repro.config import Config, determining, load
from repro.data import dataset
from repro.errors import UserError
from repro.records import RunDirectory
from repro.studies.study import Cell
from repro.training.checks import train_samples

Rates = Mapping[str, float]
"""Seconds of a step, all else included, by `kind`."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One cell: where its run is, how far, and how long it still takes."""

    cell: Cell
    run: RunDirectory | None
    status: str
    """missing, or the run's status."""
    step: int
    steps: int
    seconds_per_step: float | None
    """Measured on this run, or on one of the same kind; None if there is none."""

    @property
    def remaining(self) -> float | None:
        """Seconds that it still takes, by the measured step time."""
        if self.status in ("finished", "diverged"):
            return 0.0
        return None if self.seconds_per_step is None else self.seconds_per_step * (self.steps - self.step)


def steps(config: Config) -> int:
    """Optimiser steps of a whole run."""
    if config.model.solver == "exact":
        return 0
    return config.trainer.max_epochs * -(-_images(config) // int(config.data.batch_size))


def _images(config: Config) -> int:
    try:
        return train_samples(config, "the plan")
    except UserError:  # not prepared here: as many as the whole set has
        return dataset(config.data.name).train


def kind(config: Config) -> str:
    """What a step's time depends on: runs of one kind take as long a step."""
    relevant = {
        key: value
        for key, value in determining(config).items()
        if key.startswith("model.") or key in ("data.name", "data.batch_size", "data.image_size", "trainer.precision")
    }
    relevant.pop("model.skip_seed")
    return json.dumps(relevant, sort_keys=True, default=str)


def rates(folders: Iterable[Path]) -> Rates:
    """Step times of all finished runs below some folders; of several of a kind, the mean."""
    found: dict[str, list[float]] = {}
    for folder in folders:
        for path in sorted(folder.glob("**/config.yaml")):
            run = RunDirectory(path.parent)
            try:
                if run.ended and run.state.get("step"):
                    found.setdefault(kind(load(path)), []).append(run.state["seconds"] / run.state["step"])
            except UserError:
                continue  # of another version
    return {name: sum(values) / len(values) for name, values in found.items()}


def progress(cells: Sequence[Cell], runs: Sequence[RunDirectory | None], known: Rates) -> list[Progress]:
    """How far every cell's run is."""
    return [_progress(cell, run, known) for cell, run in zip(cells, runs, strict=True)]


def _progress(cell: Cell, run: RunDirectory | None, known: Rates) -> Progress:
    whole, rate = steps(cell.config), known.get(kind(cell.config))
    if run is None:
        return Progress(cell=cell, run=None, status="missing", step=0, steps=whole, seconds_per_step=rate)
    status = run.status
    step = run.last_step() if status in ("running", "killed") else int(run.state.get("step", 0))
    if status == "running" and step and len(run.lives) == 1:
        started = datetime.fromisoformat(run.lives[0]["started"])
        changed = datetime.fromtimestamp((run.path / "metrics.jsonl").stat().st_mtime, UTC)
        rate = (changed - started).total_seconds() / step
    return Progress(cell=cell, run=run, status=status, step=step, steps=whole, seconds_per_step=rate)


def in_words(seconds: float | None) -> str:
    """A duration for a table: ``40 s``, ``12 min``, ``3.4 h``, ``2.1 days``; a question mark for what is not known."""
    if seconds is None:
        return "?"
    for unit, size in (("days", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
