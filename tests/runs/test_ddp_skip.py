"""Skip connections to the output in two real processes: the same run as in one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch

from repro.cli import run as repro
from repro.records import RunDirectory, find_runs, metrics

ROOT = Path(__file__).parents[2]
Live = Callable[..., list[BaseProcess]]
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
from repro.training.random_features import store as features
from tests.runs import stopping

stopping.by_signal(signal.SIGINT)
features.RESIDENT_SHARE = 0.0
main()
"""


def only(folder: Path, devices: int, *, status: str = "finished") -> RunDirectory:
    (run,) = find_runs([folder])
    assert (run.status, run.lives[-1]["world_size"]) == (status, devices)
    return run


def alone(folder: Path, flags: list[str]) -> RunDirectory:
    """The run in this process."""
    assert repro(["fit", *FLAGS, *flags, "--trainer.devices", "1", "--runs", str(folder)]) == 0
    return only(folder, 1)


def together(live: Live, folder: Path, flags: list[str]) -> RunDirectory:
    """The run in two processes that have imported everything."""
    processes = live("fit", *FLAGS, *flags, "--trainer.devices", "2", "--runs", str(folder), ranks=2)
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0, 0]
    return only(folder, 2)


def in_a_file(folder: Path, flags: list[str], stop: str = "") -> RunDirectory:
    """The run in two processes of which the first starts the other, by the same command."""
    script = folder.parent / "in_a_file.py"
    script.write_text(IN_A_FILE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script), "fit", *FLAGS, *flags, "--trainer.devices", "2", "--runs", str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "STOP": stop},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == (130 if stop else 0), done.stderr
    return only(folder, 2, status="interrupted" if stop else "finished")


def same(one: RunDirectory, two: RunDirectory) -> None:
    """The weights, the chosen neurons and the means of epochs and evaluations."""
    states = [torch.load(run.saved_checkpoints()[-1], weights_only=True)["state_dict"] for run in (one, two)]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.allclose(states[1][name].double(), value.double(), rtol=1e-3, atol=1e-5), name
    tables = [metrics(run) for run in (one, two)]
    alone, shared = (table[table["metric"].str.contains("train/|test/")] for table in tables)
    both = alone.merge(shared, on=["step", "metric"])
    assert len(both) == 3 * 7
    assert both["value_y"].tolist() == pytest.approx(both["value_x"].tolist(), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["add", "replace", "fill"])
@pytest.mark.parametrize("train", ["all", "output"])
def test_two_processes_are_one(live: Live, tmp_path: Path, train: str, head: str) -> None:
    # With the head "replace" and so few neurons, nothing reads the last layers.
    flags = ["--model.skip_neurons", "140" if head == "fill" else "20", "--model.skip_head", head]
    flags += ["--model.train", train]
    same(alone(tmp_path / "one", flags), together(live, tmp_path / "two", flags))


@pytest.mark.slow
def test_normalisation_is_settled_on_all_images(live: Live, tmp_path: Path) -> None:
    flags = ["--model.network", "resnet8", "--model.skip_neurons", "50", "--model.train", "output"]
    same(alone(tmp_path / "one", flags), together(live, tmp_path / "two", flags))


@pytest.mark.slow
def test_two_processes_share_a_file_of_features_and_go_on_after_a_stop(tmp_path: Path) -> None:
    flags = ["--model.skip_neurons", "200", "--model.train", "output"]
    stopped = in_a_file(tmp_path / "two", flags, stop="4 1")
    assert stopped.state["step"] == 5
    (kept,) = stopped.path.glob("features*")
    assert (kept.name, kept.stat().st_size) == ("features-0.npy", 128 + 4 * 89 * (200 + 16))
    two = in_a_file(tmp_path / "two", flags)
    assert len(two.lives) == 2
    assert not list(two.path.glob("features*"))
    same(alone(tmp_path / "one", flags), two)
