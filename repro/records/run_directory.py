"""The directory that a run leaves: written while it runs, read by everything else."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from repro.errors import UserError, leave_out, no_pipe
from repro.records import form
from repro.records.environment import now
from repro.records.files import append_lines, decode, dump_json, no_link, replace_text, stored
from repro.records.lock import Lock, holder

ENDED = ("finished", "diverged", "stopped")
"""States of a run that has its result."""

MANIFEST = "manifest.json"
"""In the folder of a study's runs: what `repro.studies.manifest` says of the study."""


class RunDirectory:
    """One run's directory.

    ====================  =============================================================================
    ``config.yaml``       the complete configuration
    ``environment.json``  one entry for each life of the run: versions, commit, device, SLURM, command
    ``metrics.jsonl``     ``{"step", "epoch", "metrics": {name: value}}``
    ``readings.jsonl``    ``{"step", "epochs", "measurement", "layer", "name", "mode", "values": {...}}``
    ``spectra.jsonl``     with ``--measure.spectra true``, all singular values (`repro.records.spectra`)
    ``state.json``        status, progress, final metrics; ``running`` without a lock's owner means killed
    ``checkpoints/``      ``step-00000300.ckpt`` ...
    ``features-0.npy``    while the run has not ended: features that do not fit into memory, one file a machine
    ====================  =============================================================================

    All record files are append-only; after a resume the later line for the same key wins. Non-finite numbers are the
    strings "inf", "-inf" and "nan".
    """

    WEIGHTS = "model.safetensors"
    """In the folder of a card (`repro card`), in place of checkpoints."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"RunDirectory('{self.path}')"

    @property
    def name(self) -> str:
        """The run's name: its folder."""
        return self.path.name

    @property
    def study(self) -> str:
        """The study's name: the folder above."""
        return self.path.absolute().parent.name

    @property
    def config_path(self) -> Path:
        """The complete configuration."""
        return self.path / "config.yaml"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def weights_path(self) -> Path:
        """The weights alone, which a card has."""
        return self.path / self.WEIGHTS

    @classmethod
    def at(cls, run: RunDirectory | str | Path) -> RunDirectory:
        """A run, or the existing one at a path; `UserError` as `open`."""
        return run if isinstance(run, RunDirectory) else cls.open(run)

    @classmethod
    def open(cls, path: str | Path) -> RunDirectory:
        """An existing run; `UserError` if `path` is no run directory."""
        run = cls(path)
        if not run.config_path.is_file():
            fault = "is not a run directory (it has no config.yaml)" if run.path.exists() else "does not exist"
            raise UserError(f"'{path}' {fault}; `repro runs list` names the runs")
        return run

    @classmethod
    def prepare(cls, path: str | Path, config: str) -> RunDirectory:
        """Make the directory of a new run, or return the existing one as it is."""
        run = cls(path)
        if run.config_path.exists():
            return run
        if run.path.exists() and not _is_bare(run.path):
            raise UserError(f"'{path}' exists and is not a run directory; name another with --runs, --study or --name")
        try:
            run.checkpoints.mkdir(parents=True, exist_ok=True)
            replace_text(run.path / "state.json", dump_json({"status": "created", "created": now()}))
            replace_text(run.config_path, config)
        except OSError as error:
            shutil.rmtree(run.path, ignore_errors=True)
            raise UserError(
                f"cannot write run directory '{path}': {error.strerror}; make room, or name another with --runs"
            ) from error
        return run

    def lock(self, lost: Callable[[], None] | None = None) -> Lock:
        """A context manager: this process alone writes here. `UserError` while another does, or if it has links.

        `lost` is called when another start has taken the run over.
        """
        if self.path.is_dir():
            for entry in self.path.iterdir():
                if entry.name != "lock":  # which is put in place, not written
                    no_link(entry)
        return Lock(self.path / "lock", lost)

    @property
    def holder(self) -> dict[str, Any] | None:
        """Who writes here now: host, pid, SLURM job."""
        return holder(self.path / "lock")

    # Writing

    def append_metrics(self, step: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Record metrics after `step` optimiser steps."""
        append_lines(self.path / "metrics.jsonl", [{"step": step, "epoch": epoch, "metrics": metrics}])

    def append_readings(self, step: int, epoch: int, readings: Iterable[Mapping[str, Any]]) -> None:
        """Record readings taken after `step` optimiser steps, in this epoch: 0 before the training, then 1, 2, ...

        The key is ``epochs``: readings of older versions have ``epoch``, which counts from 0.
        """
        append_lines(self.path / "readings.jsonl", ({"step": step, "epochs": epoch, **reading} for reading in readings))

    def update_state(self, **changes: Any) -> None:
        """Replace entries of the state; None removes one."""
        state = {key: value for key, value in {**self.state, **changes}.items() if value is not None}
        replace_text(self.path / "state.json", dump_json({**state, "updated": now()}))

    def rewrite_config(self, config: str) -> None:
        """Replace the configuration by one of the same identity: other intervals, more epochs."""
        replace_text(self.config_path, config)

    def add_life(self, environment: Mapping[str, Any]) -> None:
        """Record where and with what this life of the run runs."""
        replace_text(self.path / "environment.json", json.dumps([*self.lives, environment], indent=1, default=str))

    # Reading

    @property
    def state(self) -> dict[str, Any]:
        """The state as written last, numbers decoded."""
        content: dict[str, Any] = decode(form.read_json(self.path / "state.json", {}))
        form.require(content, form.STATE, f"'{self.path / 'state.json'}'")
        return content

    @property
    def status(self) -> str:
        """created, running, interrupted, failed, diverged, stopped (by its rule), finished.

        Or killed: marked running, without an owner.
        """
        status = str(self.state.get("status", "created"))
        return "killed" if status == "running" and self.holder is None else status

    @property
    def ended(self) -> bool:
        """Whether the run has its result, whatever the result."""
        return self.state.get("status") in ENDED

    @property
    def has_result(self) -> bool:
        """`ended`, and no without an error if it cannot be read."""
        return self.damage is None and self.ended

    @property
    def lives(self) -> list[dict[str, Any]]:
        """The environments of all lives of the run, oldest first."""
        path = self.path / "environment.json"
        lives: list[dict[str, Any]] = form.read_json(path, [])
        for life in lives:
            form.require(life, form.LIFE, f"'{path}'")
        return lives

    @property
    def last_life(self) -> dict[str, Any]:
        """The environment of the last life; empty if none is recorded. Read once: a run may move meanwhile."""
        return (self.lives or [{}])[-1]

    def metric_lines(self) -> Iterator[dict[str, Any]]:
        """The lines of ``metrics.jsonl``."""
        return form.lines(stored(self.path / "metrics.jsonl"), form.METRICS)

    def reading_lines(self) -> Iterator[dict[str, Any]]:
        """The lines of ``readings.jsonl``."""
        return form.lines(stored(self.path / "readings.jsonl"), form.READINGS, form.renew_reading)

    def last_step(self) -> int:
        """The last step that was recorded, while the run goes on: read from the end of the record."""
        path = self.path / "metrics.jsonl"
        with contextlib.suppress(FileNotFoundError, IsADirectoryError), no_pipe(path).open("rb") as file:
            file.seek(max(0, path.stat().st_size - 2**16))
            for line in reversed(file.read().splitlines()):
                with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
                    return int(json.loads(line)["step"])
        return 0

    @property
    def damage(self) -> str | None:
        """What is wrong with what is told of the run (its numbers are not read), in words; None if nothing is."""
        try:
            _ = self.state, self.lives
        except UserError as error:
            return str(error)
        return None

    def saved_checkpoints(self) -> list[Path]:
        """Checkpoints by step, newest last."""
        return sorted(path for path in self.checkpoints.glob("step-*.ckpt") if not path.is_dir())

    @property
    def is_set_aside(self) -> bool:
        """Whether `set_aside` has given it its name."""
        return re.search(r"\.\d+$", self.name) is not None

    def set_aside(self) -> None:
        """Rename the directory out of the way (``NAME.1``, ``NAME.2`` ...): nothing is overwritten."""
        number = 1
        while (target := self.path.with_name(f"{self.name}.{number}")).exists():
            number += 1
        self.path.rename(target)

    def disk_usage(self) -> int:
        """Size of the run's files in bytes."""
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    def delete_checkpoints(self, keep: int) -> int:
        """Delete all but the newest `keep` checkpoints; returns the bytes freed."""
        saved = self.saved_checkpoints()
        return _delete(saved[: max(0, len(saved) - keep)])

    def feature_files(self) -> list[Path]:
        """Files of features, complete or not: what a run computes again if they are gone."""
        return sorted(self.path.glob("features-*.npy*"))

    def delete_features(self) -> int:
        """Delete the files of features; returns the bytes freed."""
        return _delete(self.feature_files())

    def delete(self) -> None:
        """Delete the whole directory."""
        shutil.rmtree(self.path)


def _delete(paths: Iterable[Path]) -> int:
    freed = 0
    for path in paths:
        freed += path.stat().st_size
        path.unlink()
    return freed


def _is_bare(path: Path) -> bool:
    """Whether a folder holds nothing, or what a start that was killed, or found the disk full, has left of a run."""
    if not path.is_dir():
        return False
    made = [entry.name for entry in path.iterdir() if entry.name not in ("state.json", "checkpoints", "lock")]
    parts = all(name.startswith((".state.json.", ".config.yaml.", ".lock.")) for name in made)
    return parts and not any((path / "checkpoints").glob("*"))


def find_runs(paths: Iterable[str | Path]) -> list[RunDirectory]:
    """Every run directory at or below the given paths, by name; those without a state are left out, and named.

    Raises:
        UserError: A path does not exist.
    """
    runs: dict[Path, RunDirectory] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise UserError(f"'{path}' does not exist; name a run directory or a folder of runs")
        for config in [path / "config.yaml"] if (path / "config.yaml").is_file() else sorted(path.rglob("config.yaml")):
            if (config.parent / "state.json").is_file():
                runs[config.parent.resolve()] = RunDirectory(config.parent)
            elif (config.parent / "environment.json").exists() or (config.parent / "checkpoints").exists():
                leave_out(f"'{config.parent}' is damaged: it has no state.json; restore it, or move the run away")
    return sorted(runs.values(), key=lambda run: (str(run.path.parent), run.name))


def find_studies(paths: Iterable[str | Path]) -> list[Path]:
    """The folders of studies at or below the given paths, each once; a run directory is not one."""
    folders: dict[Path, Path] = {}
    for path in map(Path, paths):
        for manifest in [] if (path / "config.yaml").is_file() else sorted(path.rglob(MANIFEST)):
            folders[manifest.parent.resolve()] = manifest.parent
    return list(folders.values())
