"""Checkpoints: when, which are kept, whole or not at all, sound or damaged, one's own or another run's."""

from __future__ import annotations

import dataclasses
import errno
import os
import random
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from repro.config import Config, from_mapping
from repro.errors import UserError
from repro.records import RunDirectory, metrics
from repro.runs import checkpoint_file as module
from repro.runs import checkpoints, stop
from repro.runs.checkpoint_file import CheckpointFile, damage, newest_sound
from repro.runs.start import resolve, start
from repro.runs.stop import USER_SIGNALS, CannotSave, Interrupted, defer_user_signals
from repro.training.classifier import Classifier

SMALL: dict[str, Any] = {
    "model": {"network": "mlp", "hidden": [8]},
    "data": {"name": "MNIST5k", "batch_size": 32, "train_size": 100, "test_size": 100, "evaluation_batch_size": 1000},
    "training": {"warmup_steps": 2, "learning_rate": 0.05},
    "trainer": {"max_epochs": 3, "progress": "none", "accelerator": "cpu", "keep_checkpoints": 20},
    "measure": {"measurements": []},
    "log": {"every_n_steps": 1},
}


def small(tmp_path: Path, **groups: dict[str, Any]) -> Config:
    mapping = {key: {**SMALL.get(key, {}), **groups.get(key, {})} for key in {*SMALL, *groups}}
    return dataclasses.replace(from_mapping(mapping), runs=str(tmp_path))


def names(run: RunDirectory) -> list[str]:
    return sorted(path.name for path in run.checkpoints.iterdir())


def steps(run: RunDirectory) -> list[int]:
    return [int(path.stem.split("-")[1]) for path in run.saved_checkpoints()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return start(small(tmp_path_factory.mktemp("runs"))).run


@pytest.fixture
def copy(finished: RunDirectory, tmp_path: Path) -> RunDirectory:
    shutil.copytree(finished.path, tmp_path / finished.path.parent.name / finished.name)
    return RunDirectory(tmp_path / finished.path.parent.name / finished.name)


@pytest.mark.slow
def test_they_are_saved_by_epochs_steps_and_minutes(tmp_path: Path) -> None:
    by_steps = {"checkpoint_every_n_steps": 3, "checkpoint_every_n_epochs": 2}
    assert steps(start(small(tmp_path / "steps", trainer=by_steps)).run) == [3, 6, 8, 9, 12]
    by_time = {"checkpoint_every_n_minutes": 1e-9, "max_epochs": 1}
    assert steps(start(small(tmp_path / "minutes", trainer=by_time)).run) == [1, 2, 3, 4]


@pytest.mark.slow
def test_the_best_is_kept_where_there_is_a_validation_split(tmp_path: Path, finished: RunDirectory) -> None:
    assert "best.ckpt" not in names(finished)
    assert "best" not in finished.state
    changes = {"learning_rate": 2.0, "milestones": [0.9]}  # goes up and down
    few = {"max_epochs": 6, "keep_checkpoints": 1}
    run = start(small(tmp_path, data={"validation_size": 60}, training=changes, trainer=few)).run
    table = metrics(run)
    accuracies = table[table["metric"] == "validation/accuracy"].set_index("step")["value"]
    best = run.state["best"]
    assert best["step"] == accuracies.idxmax() != 24
    assert best["validation_accuracy"] == accuracies.max()
    content = torch.load(run.checkpoints / "best.ckpt", weights_only=True)
    assert content["global_step"] == best["step"]
    assert steps(run) == [24]


@pytest.mark.slow
def test_the_best_is_linked_again_if_a_kill_came_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small(tmp_path, data={"validation_size": 60}, trainer={"max_epochs": 1})
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "_link", lambda path, target: {}["killed"])
        with pytest.raises(KeyError):
            start(config)
    run = start(config).run
    assert run.state["best"]["step"] == torch.load(run.checkpoints / "best.ckpt", weights_only=True)["global_step"] == 4


def test_any_damage_is_seen_or_changes_nothing(finished: RunDirectory, tmp_path: Path) -> None:
    path = finished.saved_checkpoints()[-1]
    sound = path.read_bytes()
    weights = torch.load(path, weights_only=True)["state_dict"]
    assert damage(path) is None
    target = tmp_path / "step-1.ckpt"
    draw = random.Random(0)
    seen = 0
    for number in range(60):
        content = bytearray(sound)
        if number % 3 == 0:
            del content[draw.randrange(len(content)) :]
        else:
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        target.write_bytes(content)
        if damage(target) is None:
            found = torch.load(target, weights_only=True)["state_dict"]
            assert all(torch.equal(found[name], value) for name, value in weights.items())
        else:
            seen += 1
    assert seen > 40


def test_a_damaged_newest_one_is_set_aside_and_the_one_before_taken(
    copy: RunDirectory, capsys: pytest.CaptureFixture[str], tmp_path: Path, finished: RunDirectory
) -> None:
    newest = copy.saved_checkpoints()[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    copy.update_state(status="interrupted")
    outcome = start(small(tmp_path))
    said = capsys.readouterr().err
    assert f"checkpoint '{newest}' is damaged" in said
    assert "continuing from step-00000008.ckpt" in said
    assert f"{newest.name}.damaged" in names(copy)
    assert outcome.run.path == copy.path
    theirs = torch.load(finished.saved_checkpoints()[-1], weights_only=True)["state_dict"]
    ours = torch.load(newest, weights_only=True)["state_dict"]
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())


def test_with_no_sound_one_it_begins_anew(copy: RunDirectory) -> None:
    for path in copy.saved_checkpoints():
        path.write_bytes(b"")
    said: list[str] = []
    assert newest_sound(copy, say=said.append) is None
    assert said[-1] == "no checkpoint is intact: starting from the beginning"
    assert newest_sound(copy, say=said.append) is None
    assert len(said) == 4


@pytest.mark.slow
def test_a_checkpoint_of_another_configuration_is_refused(copy: RunDirectory, tmp_path: Path) -> None:
    other = start(small(tmp_path / "other", model={"hidden": [9]}, trainer={"max_epochs": 1})).run
    shutil.copy(other.saved_checkpoints()[-1], copy.checkpoints / "step-00000099.ckpt")
    copy.update_state(status="interrupted")
    with pytest.raises(UserError, match=r"step-00000099.ckpt' is another run's: model.hidden is \[9\] there and \[8\]"):
        start(small(tmp_path))
    assert copy.path.exists()


@pytest.mark.slow
def test_a_full_disk_keeps_the_earlier_checkpoint_and_the_run_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: RunDirectory
) -> None:
    config = small(tmp_path)
    sync = os.fsync

    def full(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().name.endswith(".part") and len(steps(run)) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    run = resolve(config).directory
    with monkeypatch.context() as patch:
        patch.setattr(module.os, "fsync", full)
        with pytest.raises(CannotSave, match="No space left on device; step-00000004.ckpt is there: make room"):
            start(config)
    assert names(run) == ["step-00000004.ckpt"]
    assert (run.status, run.holder) == ("failed", None)
    assert "reason" not in start(config).state
    theirs = torch.load(finished.saved_checkpoints()[-1], weights_only=True)["state_dict"]
    ours = torch.load(run.saved_checkpoints()[-1], weights_only=True)["state_dict"]
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())


def test_what_a_killed_writer_left_is_swept(copy: RunDirectory, tmp_path: Path) -> None:
    (copy.checkpoints / ".step-00000016.ckpt.1.part").write_bytes(b"half")
    copy.update_state(status="interrupted")
    start(small(tmp_path))
    assert not [name for name in names(copy) if "part" in name]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
@pytest.mark.parametrize("at", [3, 4])
def test_any_signal_stops_with_a_checkpoint(
    number: signal.Signals, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At step 4 an epoch ends, where Lightning's own handling of SIGTERM would leave without one."""
    training_step = Classifier.training_step

    def signalled(self: Classifier, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.trainer.global_step == at - 1:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)  # a scheduler may repeat itself
        return training_step(self, batch, batch_idx)

    monkeypatch.setattr(Classifier, "training_step", signalled)
    with pytest.raises(Interrupted, match=f"stopped at step {at}, checkpoint saved") as caught:
        start(small(tmp_path))
    assert caught.value.signal == number
    assert signal.getsignal(number) is signal.SIG_DFL


@pytest.mark.slow
def test_a_signal_that_came_early_is_heeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {number: signal.getsignal(number) for number in USER_SIGNALS}
    try:
        defer_user_signals()
        os.kill(os.getpid(), signal.SIGUSR2)
        with pytest.raises(Interrupted, match="stopped at step 1, checkpoint saved"):
            start(small(tmp_path))
        assert start(small(tmp_path)).state["status"] == "finished"
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.slow
def test_an_evaluation_is_left_when_it_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = Classifier._evaluate

    def signalled(self: Classifier, batch: Any, part: str) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        evaluate(self, batch, part)

    config = small(tmp_path, trainer={"evaluate_every_n_epochs": 2}, data={"evaluation_batch_size": 100})
    with monkeypatch.context() as patch:
        patch.setattr(stop, "PATIENCE_SECONDS", 0.0)
        patch.setattr(Classifier, "_evaluate", signalled)
        with pytest.raises(Interrupted, match=r"after step 8, .* is step-00000004.ckpt"):
            start(config)
    assert start(config).state["status"] == "finished"


def test_a_run_that_another_start_has_taken_over_leaves_its_directory_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training_step = Classifier.training_step

    def lost(self: Classifier, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.trainer.global_step == 6:
            for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, checkpoints.RunCheckpoints):
                    callback.stop.taken_over()
        return training_step(self, batch, batch_idx)

    monkeypatch.setattr(Classifier, "training_step", lost)
    with pytest.raises(Interrupted, match="another start has taken this run over"):
        start(small(tmp_path))
    run = resolve(small(tmp_path)).directory
    assert steps(run) == [4]
    assert run.state["status"] == "running"


def test_a_write_that_fails_leaves_no_part(tmp_path: Path) -> None:
    file = CheckpointFile("{}")
    file.save_checkpoint({"a": torch.zeros(3)}, tmp_path / "absent" / "x.ckpt")
    assert file.error is not None
    file.save_checkpoint({"a": torch.zeros(3)}, tmp_path / "x.ckpt")
    assert file.error is None
    assert [path.name for path in tmp_path.iterdir()] == ["x.ckpt"]
    assert torch.equal(torch.load(tmp_path / "x.ckpt", weights_only=True)["a"], torch.zeros(3))
