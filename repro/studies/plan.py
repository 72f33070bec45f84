"""What a study's runs cost and how far they are."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from repro.config import Config, determining, load
from repro.data import dataset
from repro.errors import UserError, refusing
from repro.records import ENDED, RunDirectory, replace_text
from repro.records.form import read_json
from repro.runs.validation import require_trusted, train_samples
from repro.studies.study import StudyCell
from repro.text import canonical

RESULTS = Path("results")
"""Where records of finished runs are kept; what they took counts where no run here tells better."""
NAME = "step-times.json"
"""In a folder of runs, what `remember` noted."""


class Rate(NamedTuple):
    """How long a step takes."""

    seconds: float
    device: str
    """What it was measured on: CPU, or the GPU's name."""
    checkpoint: int = 0
    """Bytes of a checkpoint: weights and momentum; 0 if not known."""


Rates = Mapping[str, Rate]
"""How long a step takes, all else included, by `kind`."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One cell: where its run is, how far, and how long it still takes."""

    cell: StudyCell
    run: RunDirectory | None
    status: str
    """missing, or the run's status."""
    step: int
    steps: int
    rate: Rate | None
    """Measured on this run, or on one of the same kind; None if there is none."""

    @property
    def name(self) -> str:
        """Label and seed of the cell."""
        return f"{self.cell.label} seed {self.cell.seed}"

    @property
    def remaining(self) -> float | None:
        """Seconds that it still takes, by the measured step time."""
        if self.status in ENDED:
            return 0.0
        return None if self.rate is None else self.rate.seconds * (self.steps - self.step)


def steps(config: Config) -> int:
    """Optimiser steps of a whole run."""
    if config.model.solver == "exact":
        return 0
    whole = config.trainer.max_epochs * -(-_images(config) // int(config.data.batch_size))
    return min(whole, config.training.max_steps or whole)


def _images(config: Config) -> int:
    if ":" in config.data.name:
        return config.data.train_size or _own_images(config)
    try:
        return train_samples(config, "the plan")
    except UserError:  # not prepared here: as many as the whole set has
        return dataset(config.data.name).train


def _own_images(config: Config) -> int:
    """The training images of a data set given by import path, which is made to count them."""
    key = canonical(dataclasses.asdict(config.data))
    if key not in _COUNTED:
        from repro.runs.build import build_data

        require_trusted(config)
        data = build_data(config)
        data.setup("fit")
        _COUNTED[key] = data.samples("train")
        data.teardown("fit")
    return _COUNTED[key]


_COUNTED: dict[str, int] = {}


def kind(config: Config) -> str:
    """What a step's time depends on: runs of one kind take as long a step."""
    relevant = {
        key: value
        for key, value in determining(config).items()
        if key.startswith("model.") or key in ("data.name", "data.batch_size", "data.image_size", "trainer.precision")
    }
    relevant.pop("model.skip_seed")
    return canonical(relevant)


def rates(folders: Iterable[Path]) -> Rates:
    """Step times of all finished runs below some folders, of several of a kind the mean; else what is noted there."""
    noted = {name: rate for folder in folders for name, rate in _remembered(folder).items()}
    measured: dict[str, list[Rate]] = {}
    for folder in folders:
        for path in sorted(folder.glob("**/config.yaml")):
            run = RunDirectory(path.parent)
            try:
                state = run.state
                if state.get("status") in ENDED and state.get("step") and state.get("seconds"):
                    life = run.last_life
                    if "stack" in life:  # several runs stepped as one in an older version: no step's time
                        continue
                    device = life.get("device", "CPU")
                    rate = Rate(state["seconds"] / state["step"], device)
                    measured.setdefault(kind(load(path)), []).append(rate)
            except UserError:
                continue  # of another version
    return noted | {name: _mean(values) for name, values in measured.items()}


def _mean(values: Sequence[Rate]) -> Rate:
    """The mean of the rates on the device that was used last."""
    device = values[-1].device
    seconds = [rate.seconds for rate in values if rate.device == device]
    return Rate(sum(seconds) / len(seconds), device)


def remember(runs: Path, config: Config, rate: Rate) -> None:
    """Note a measured step time, in a file in the folder of runs."""
    noted = {**_remembered(runs), kind(config): rate}
    with refusing(f"cannot write '{runs}'", "choose another --runs"):
        runs.mkdir(parents=True, exist_ok=True)
        replace_text(runs / NAME, json.dumps({name: value._asdict() for name, value in noted.items()}, indent=1))


def _remembered(runs: Path) -> dict[str, Rate]:
    try:
        noted = read_json(runs / NAME, {})
        return {
            name: Rate(float(rate["seconds"]), str(rate["device"]), int(rate.get("checkpoint", 0)))
            for name, rate in noted.items()
        }
    except (UserError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return {}


def progress(cells: Sequence[StudyCell], runs: Sequence[RunDirectory | None], by_kind: Rates) -> list[Progress]:
    """How far every cell's run is."""
    return [_progress(cell, run, by_kind) for cell, run in zip(cells, runs, strict=True)]


def _progress(cell: StudyCell, run: RunDirectory | None, by_kind: Rates) -> Progress:
    whole, rate = steps(cell.config), by_kind.get(kind(cell.config))
    if run is None:
        return Progress(cell=cell, run=None, status="missing", step=0, steps=whole, rate=rate)
    status = run.status
    step = run.last_step() if status in ("running", "killed") else int(run.state.get("step", 0))
    if status == "running" and step and len(lives := run.lives) == 1:
        with suppress(KeyError, ValueError, TypeError, OSError):  # of another version: it is not known when it began
            started = datetime.fromisoformat(lives[0]["started"])
            changed = datetime.fromtimestamp((run.path / "metrics.jsonl").stat().st_mtime, UTC)
            if (taken := (changed - started).total_seconds()) > 0:  # clocks differ, and are set back
                rate = Rate(taken / step, lives[0].get("device", "CPU"))
    if rate is None and status == "interrupted" and step and (spent := run.state.get("seconds")):
        rate = Rate(spent / step, run.last_life.get("device", "CPU"))
    return Progress(cell=cell, run=run, status=status, step=step, steps=whole, rate=rate)


def duration(seconds: float | None) -> str:
    """A duration for a table: ``40 s``, ``12 min``, ``3.4 h``, ``2.1 days``."""
    if seconds is None:
        return "not known"
    for unit, size in (("days", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
