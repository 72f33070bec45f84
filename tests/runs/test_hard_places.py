"""Runs in hard environments: directories that vanish, places that are read only, devices that are not there."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest

from repro.config import Config, from_mapping
from repro.distributed.processes import check_layout
from repro.errors import UserError
from repro.records import RunDirectory
from repro.records.lock import Lock
from repro.runs.start import start
from repro.runs.stop import CannotSave


def config(runs: Path, **trainer: Any) -> Config:
    return from_mapping(
        {
            "model": {"network": "mlp", "hidden": [8]},
            "data": {"train_size": 100, "test_size": 100, "batch_size": 50},
            "trainer": {"max_epochs": 2, "progress": "none", "accelerator": "cpu", **trainer},
            "measure": {"measurements": []},
            "log": {"every_n_steps": 1, "wandb": "disabled"},
            "runs": str(runs),
        }
    )


def test_a_directory_that_vanishes_is_told_and_the_same_command_begins_anew(tmp_path: Path) -> None:
    append = RunDirectory.append_metrics

    def delete(run: RunDirectory, *arguments: Any) -> None:
        shutil.rmtree(run.path)
        append(run, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunDirectory, "append_metrics", delete)
        with pytest.raises(CannotSave, match="was moved or deleted while it was trained"):
            start(config(tmp_path))
    assert start(config(tmp_path)).state["status"] == "finished"


def test_a_disk_that_fills_up_right_after_the_directory_is_made(tmp_path: Path) -> None:
    def full(_run: RunDirectory, **_changes: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunDirectory, "update_state", full)
        with pytest.raises(CannotSave, match="No space left on device; make room, and start it again"):
            start(config(tmp_path))
    assert start(config(tmp_path)).state["status"] == "finished"


def test_a_finished_run_is_skipped_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(config(tmp_path))

    def refuse(_self: Lock) -> bool:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Lock, "_create", refuse)
    assert start(config(tmp_path)).action == "skipped"


@pytest.mark.parametrize("devices", [400, 10**20])
def test_more_processes_than_there_is_room_for_are_refused(devices: int, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"trainer.devices is {devices}; allowed on this machine"):
        check_layout(config(tmp_path, devices=devices))


def test_an_accelerator_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match="trainer.devices 1, which this machine does not have"):
        start(config(tmp_path, accelerator="gpu", devices=1))
    assert list((tmp_path / "single").iterdir()) == []
