"""Skip connections to the output in two real processes: the same run as in one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from repro.records import RunDirectory, find_runs, metrics

ROOT = Path(__file__).parents[2]
# 89 images in batches of 32: of the last one each process has another number, 12 and 13.
FLAGS = [
    *("--model.network", "cnn13", "--model.width", "4", "--model.activation", "softplus"),
    *("--model.initialization", "truncated", "--training.warmup_steps", "0", "--training.learning_rate", "0.01"),
    *("--data.train_size", "89", "--data.batch_size", "32", "--data.evaluation_batch_size", "40"),
    *("--trainer.max_epochs", "3", "--trainer.accelerator", "cpu", "--trainer.progress", "none"),
    *("--measure.measurements", "[]", "--log.wandb", "disabled", "--log.every_n_steps", "1"),
]
# The command with features kept in a file, however much memory is free; stopped at a step by a signal to one process.
IN_A_FILE = """
import signal
from repro.cli import main
from repro.training import features
from tests.training import stopping

stopping.by_signal(signal.SIGINT)
features.RESIDENT_SHARE = 0.0
main()
"""


def command(folder: Path, devices: int, flags: list[str], program: str) -> list[str]:
    arguments = ["fit", *FLAGS, *flags, "--trainer.devices", str(devices), "--runs", str(folder)]
    if program == "repro":
        return [sys.executable, "-m", "repro", *arguments]
    script = folder.parent / "in_a_file.py"  # the second process is started by the same command
    script.write_text(program, encoding="utf-8")
    return [sys.executable, str(script), *arguments]


def fitted(folder: Path, devices: int, flags: list[str], program: str = "repro", stop: str = "") -> RunDirectory:
    done = subprocess.run(
        command(folder, devices, flags, program),
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "STOP": stop},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == (130 if stop else 0), done.stderr
    (run,) = find_runs([folder])
    assert (run.status, run.lives[-1]["world_size"]) == ("interrupted" if stop else "finished", devices)
    return run


def same(one: RunDirectory, two: RunDirectory) -> None:
    """The weights, the chosen neurons and the means of epochs and evaluations."""
    states = [torch.load(run.saved_checkpoints()[-1], weights_only=True)["state_dict"] for run in (one, two)]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.allclose(states[1][name].double(), value.double(), rtol=1e-3, atol=1e-5), name
    tables = [metrics(run) for run in (one, two)]
    alone, shared = (table[table["metric"].str.contains("train/|test/")] for table in tables)
    both = alone.merge(shared, on=["step", "metric"])
    assert len(both) == 3 * 5
    assert both["value_y"].tolist() == pytest.approx(both["value_x"].tolist(), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["add", "replace", "fill"])
@pytest.mark.parametrize("train", ["all", "output"])
def test_two_processes_are_one(tmp_path: Path, train: str, head: str) -> None:
    # With the head "replace" and so few neurons, nothing reads the last layers.
    flags = ["--model.skip_neurons", "140" if head == "fill" else "20", "--model.skip_head", head]
    flags += ["--model.train", train]
    same(fitted(tmp_path / "one", 1, flags), fitted(tmp_path / "two", 2, flags))


@pytest.mark.slow
def test_normalisation_is_settled_on_all_images(tmp_path: Path) -> None:
    flags = ["--model.network", "resnet8", "--model.skip_neurons", "50", "--model.train", "output"]
    same(fitted(tmp_path / "one", 1, flags), fitted(tmp_path / "two", 2, flags))


@pytest.mark.slow
def test_two_processes_share_a_file_of_features_and_go_on_after_a_stop(tmp_path: Path) -> None:
    flags = ["--model.skip_neurons", "200", "--model.train", "output"]
    stopped = fitted(tmp_path / "two", 2, flags, IN_A_FILE, stop="4 1")
    assert stopped.state["step"] == 5
    (kept,) = stopped.path.glob("features*")
    assert (kept.name, kept.stat().st_size) == ("features-0.npy", 128 + 4 * 89 * (200 + 16))
    two = fitted(tmp_path / "two", 2, flags, IN_A_FILE)
    assert len(two.lives) == 2
    assert not list(two.path.glob("features*"))
    same(fitted(tmp_path / "one", 1, flags), two)
