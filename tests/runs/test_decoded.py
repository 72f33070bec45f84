"""Training on image files that worker processes decode."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from repro.cli import run
from repro.records import RunDirectory, find_runs, metrics, readings

ROOT = Path(__file__).parents[2]
FLAGS = [
    *("--data.name", "ImageFolder", "--model.network", "resnet8", "--model.width", "4", "--data.image_size", "16"),
    *("--data.batch_size", "5", "--data.augmentation", "resized_crop_flip", "--data.evaluation_batch_size", "7"),
    *("--trainer.accelerator", "cpu", "--trainer.progress", "none", "--log.wandb", "disabled"),
    *("--measure.measurements", "[weights]", "--measure.probe_size", "8", "--log.every_n_steps", "1"),
    *("--training.warmup_steps", "4"),
]


STOPPED = "from repro.cli import main; from tests.runs import stopping; stopping.by_ctrl_c(); main()"


def process(*arguments: str, stop: int | None = None) -> subprocess.Popen[str]:
    """The command; at the step `stop` its process group gets a Ctrl-C."""
    command = ["-m", "repro"] if stop is None else ["-c", STOPPED]
    return subprocess.Popen(
        [sys.executable, *command, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "STOP": f"{stop} 0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a process group of its own, as a terminal gives it
    )


def only(folder: Path) -> RunDirectory:
    (found,) = find_runs([folder])
    return found


def state(found: RunDirectory) -> dict[str, torch.Tensor]:
    content = torch.load(found.saved_checkpoints()[-1], weights_only=True)
    momenta = content["optimizer_states"][0]["state"]
    return {**content["state_dict"], **{f"momentum{n}": each["momentum_buffer"] for n, each in momenta.items()}}


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert run(arguments) == 2
    out, error = capsys.readouterr()
    lines = [line for line in error.splitlines() if not line.startswith("repro: seen: ")]
    assert (out, len(lines)) == ("", 1)
    assert lines[0].startswith("repro: ")
    return lines[0]


@pytest.mark.slow
def test_workers_are_no_part_of_a_run(tree: Path, tmp_path: Path) -> None:
    found = []
    for workers in ("0", "2"):
        flags = [*FLAGS, "--data.root", str(tree), "--data.workers", workers, "--trainer.max_epochs", "1"]
        assert run(["fit", *flags, "--runs", str(tmp_path / workers)]) == 0
        found.append(only(tmp_path / workers))
    assert found[0].name == found[1].name
    first, second = (state(each) for each in found)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert found[0].state["final"] == found[1].state["final"]
    assert set(found[0].state["final"]) >= {"train_accuracy", "test_accuracy"}


@pytest.mark.slow
def test_ctrl_c_within_an_epoch_goes_on_bit_for_bit_with_workers(tree: Path, tmp_path: Path) -> None:
    flags = ["fit", *FLAGS, "--data.root", str(tree), "--trainer.max_epochs", "5"]
    assert run([*flags, "--data.workers", "0", "--runs", str(tmp_path / "whole")]) == 0
    command = [*flags, "--data.workers", "2", "--runs", str(tmp_path / "stopped")]
    running = process(*command, stop=27)
    _, error = running.communicate(timeout=300)
    assert running.returncode == 130, error
    assert error.splitlines()[-1].endswith("checkpoint saved; the same command continues")
    assert "Traceback" not in error
    stopped, whole = only(tmp_path / "stopped"), only(tmp_path / "whole")
    assert stopped.state["step"] == 28  # within an epoch of 8
    assert run(command) == 0
    assert stopped.status == "finished"
    ours, theirs = state(stopped), state(whole)
    assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []
    assert metrics(stopped).equals(metrics(whole))
    assert readings(stopped).equals(readings(whole))
    assert stopped.state["final"] == whole.state["final"]


@pytest.mark.slow
def test_two_processes_evaluate_every_image_once(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """15 held-out images in batches of 7 a rank: 14 and then one, which leaves a rank with none; 39 = 7 · 5 + 4."""
    flags = ["fit", *FLAGS, "--data.root", str(tree), "--trainer.max_epochs", "2", "--data.batch_size", "19"]
    running = process(*flags, "--trainer.devices", "2", "--data.workers", "1", "--runs", str(tmp_path))
    _, error = running.communicate(timeout=300)
    assert running.returncode == 0, error
    found = only(tmp_path)
    assert (found.status, found.lives[0]["world_size"]) == ("finished", 2)
    assert found.state["step"] == 6  # 19 + 19 + 1 images an epoch: one rank has none of the last
    assert run(["test", str(found.path), "--trainer.devices", "1"]) == 0
    alone = capsys.readouterr().out
    final = found.state["final"]
    assert final["test_accuracy"] * 15 == pytest.approx(round(final["test_accuracy"] * 15), abs=1e-4)
    assert f"test accuracy: {100 * final['test_accuracy']:.2f} %" in alone
    assert f"test cross entropy: {final['test_cross_entropy']:.4g}" in alone
    assert f"train cross entropy: {final['train_cross_entropy']:.4g}" in alone


@pytest.mark.slow
def test_a_damaged_image_ends_the_run_in_one_line(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(tree, tmp_path / "tree"))
    path = copy / "val" / "a" / "03.JPEG"
    content = path.read_bytes()
    path.write_bytes(content[:200])
    flags = ["fit", *FLAGS, "--data.root", str(copy), "--data.workers", "1", "--runs", str(tmp_path / "runs")]
    flags += ["--training.milestones", "[]"]  # so that a longer run goes on from the shorter
    error = refused([*flags, "--trainer.max_epochs", "1"], capsys)
    assert f"image '{path}' cannot be read" in error
    assert not list((tmp_path / "runs").rglob("config.yaml"))  # nothing was saved: nothing stays
    path.write_bytes(content + b"\0")  # another size, but the folder is as it was: the same run
    assert run([*flags, "--trainer.max_epochs", "1"]) == 0
    path.write_bytes(content[:200])
    assert run([*flags, "--trainer.max_epochs", "2"]) == 2
    assert "03.JPEG" in capsys.readouterr().err.splitlines()[-1]
    (longer,) = [made for made in find_runs([tmp_path / "runs"]) if made.state["status"] != "finished"]
    assert longer.saved_checkpoints()
    assert "03.JPEG" in longer.state["reason"]


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--data.augmentation", "crop_flip"], "data.augmentation is crop_flip; ImageFolder takes none, resized_crop"),
        (["--data.batch_size", "40"], "data.batch_size is 40; allowed: up to the 39 training images"),
        (["--data.train_size", "40"], "data.train_size is 40; ImageFolder leaves 39 images"),
        (
            ["--data.batch_size", "41", "--measure.probe_size", "42", "--data.test_size", "43"],
            "has 15 images; data.batch_size is 41, measure.probe_size is 42; allowed: up to the 39",
        ),
        (["--data.image_size", "4"], "data.image_size is 4; allowed: 8 or more"),
        (["--data.resize_size", "15"], "data.resize_size is 15; allowed: data.image_size 16 or more"),
        (["--data.workers", "-1"], "data.workers is -1; allowed: 0 or more"),
        (["--data.root", "nowhere"], "'nowhere' has no folder train, val or test; --data.root"),
        (
            ["--data.name", "ImageNet", "--data.root", "nowhere"],
            "repro data prepare imagenet --root nowhere --from DIR",
        ),
        (
            ["--data.name", "MNIST5k", "--data.augmentation", "none"],
            "data.image_size is for data sets decoded",
        ),
        (["--data.name", "MNIST5k"], "data.augmentation is resized_crop_flip; MNIST5k takes none, crop_flip"),
        (["--model.network", "timm/resnet18", "--model.width", "8"], "width"),
    ],
)
def test_mistakes_are_told_before_torch_is_needed(
    flags: list[str], text: str, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["fit", *FLAGS, "--data.root", str(tree), "--runs", str(tmp_path), *flags]
    assert text in refused(given, capsys)
    assert list(tmp_path.iterdir()) == []
