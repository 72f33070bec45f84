"""A run that is killed anywhere ends bit for bit like one that is not: alone and with two processes."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch

from repro.records import RunDirectory, find_runs, metrics, readings, spectra

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
Live = Callable[..., list[BaseProcess]]

# Dropout draws from torch's generator, the other noise from NumPy's and Python's.
NETWORK = """
import random
import numpy as np
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes, in_channels):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(784 * in_channels, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.3),
            nn.Linear(12, num_classes),
        )

    def forward(self, images):
        noise = 1 + 0.1 * (random.random() + np.random.rand()) if self.training else 1
        return noise * self.layers(images)
"""
FLAGS = [
    *("fit", "--model.network", "drawing:Net", "--data.train_size", "90", "--data.batch_size", "16"),
    *("--data.evaluation_batch_size", "300", "--data.validation_size", "50", "--trainer.max_epochs", "8"),
    *("--trainer.accelerator", "cpu", "--trainer.progress", "none", "--log.wandb", "disabled"),
    *("--trainer.checkpoint_every_n_steps", "4", "--log.every_n_steps", "1", "--measure.probe_size", "16"),
    *("--measure.measurements", "[weights,representations]", "--training.warmup_steps", "2"),
]


def command(folder: Path, ranks: int, *more: str) -> list[str]:
    return [*FLAGS, "--trainer.devices", str(ranks), "--runs", str(folder), *more]


@pytest.fixture
def begin(live: Live, tmp_path: Path) -> Live:
    (tmp_path / "drawing.py").write_text(NETWORK)
    path = f"sys.path[:0] = {[str(tmp_path), str(ROOT)]}\n"
    return lambda *arguments, before="", **options: live(
        *arguments, before=path + before, OMP_NUM_THREADS="1", **options
    )


def ended(processes: list[BaseProcess], seconds: float = 300) -> list[int | None]:
    for process in processes:
        process.join(seconds)
    return [process.exitcode for process in processes]


def whole(run: RunDirectory) -> dict[str, Any]:
    content = torch.load(run.saved_checkpoints()[-1], weights_only=True)
    momenta = content["optimizer_states"][0]["state"]
    states = content["state_dict"] | {f"momentum{n}": state["momentum_buffer"] for n, state in momenta.items()}
    return states | {f"generator{n}": each["torch"] for n, each in enumerate(content["generators"])}


def assert_same(run: RunDirectory, reference: RunDirectory) -> None:
    ours, theirs = whole(run), whole(reference)
    assert ours.keys() == theirs.keys()
    assert [name for name, value in theirs.items() if not torch.equal(ours[name], value)] == []
    assert metrics(run).equals(metrics(reference))
    assert readings(run).equals(readings(reference))
    assert run.state["final"] == reference.state["final"]
    assert run.state.get("best") == reference.state.get("best")


@pytest.mark.parametrize("ranks", [1, 2])
def test_killed_at_random_moments(ranks: int, begin: Live, tmp_path: Path) -> None:
    assert ended(begin(*command(tmp_path / "reference", ranks), ranks=ranks)) == [0] * ranks
    (reference,) = find_runs([tmp_path / "reference"])
    draw = random.Random(ranks)

    def checkpoints() -> set[str]:
        return {path.name for path in (tmp_path / "killed").rglob("step-*.ckpt")}

    for _ in range(4):
        processes = begin(*command(tmp_path / "killed", ranks), ranks=ranks)
        before = checkpoints()
        while checkpoints() <= before and processes[0].is_alive():
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.1))
        for process in processes:
            process.kill()
        ended(processes)
    assert ended(begin(*command(tmp_path / "killed", ranks), ranks=ranks)) == [0] * ranks
    (run,) = find_runs([tmp_path / "killed"])
    assert len(run.lives) >= 3
    assert_same(run, reference)


MEASURED = [
    *("fit", "--model.network", "plainnet8", "--model.width", "4", "--data.train_size", "90"),
    *("--data.batch_size", "16", "--data.evaluation_batch_size", "300", "--data.test_size", "100"),
    *("--trainer.max_epochs", "3", "--trainer.accelerator", "cpu", "--trainer.progress", "none"),
    *("--log.wandb", "disabled", "--trainer.checkpoint_every_n_steps", "4", "--log.every_n_steps", "1"),
    *("--measure.measurements", "[weights,representations,operators,updates]", "--measure.at_steps", "log"),
    *("--measure.spectra", "true", "--measure.probe_size", "16", "--training.warmup_steps", "2"),
]


def test_killed_between_a_reading_its_spectra_and_a_checkpoint(begin: Live, tmp_path: Path) -> None:
    """Nothing is missing, nothing double, and every singular value is the same bit for bit."""
    assert ended(begin(*MEASURED, "--runs", str(tmp_path / "reference"))) == [0]
    (reference,) = find_runs([tmp_path / "reference"])
    kill = "from tests.runs import stopping; stopping.by_writing()"
    for writing in (1, 3, 4, 9, 1, 2, 3, 4, 5):
        processes = begin(*MEASURED, "--runs", str(tmp_path / "killed"), before=kill, STOP=str(writing))
        assert ended(processes) == [-signal.SIGKILL]
    assert ended(begin(*MEASURED, "--runs", str(tmp_path / "killed"))) == [0]
    (run,) = find_runs([tmp_path / "killed"])
    assert_same(run, reference)
    steps = {0, 1, 2, 4, 8, 16, *(6 * epoch for epoch in (1, 2, 3))}  # log-spaced, and the ends of epochs
    ours, theirs = spectra(run), spectra(reference)
    assert set(readings(run)["step"]) == set(ours["step"]) == steps
    assert not ours.duplicated(["step", "measurement", "layer", "mode"]).any()
    assert ours.drop(columns="singular_values").equals(theirs.drop(columns="singular_values"))
    for one, other in zip(ours["singular_values"], theirs["singular_values"], strict=True):
        assert one.tobytes() == other.tobytes()


def test_asked_to_stop_on_one_of_two_processes(begin: Live, tmp_path: Path) -> None:
    """The signal comes to one process in the middle of an epoch, and at its end; both stop at the same batch."""
    assert ended(begin(*command(tmp_path / "reference", 2), ranks=2)) == [0, 0]
    (reference,) = find_runs([tmp_path / "reference"])
    stop = "import signal; from tests.runs import stopping; stopping.by_signal(signal.SIGTERM)"
    for at, rank in ((8, 1), (17, 0), (30, 1)):
        processes = begin(*command(tmp_path / "stopped", 2), ranks=2, before=stop, STOP=f"{at} {rank}")
        assert ended(processes) == [143, 0]
        (run,) = find_runs([tmp_path / "stopped"])
        assert (run.status, run.state["step"]) == ("interrupted", at + 1)
    assert ended(begin(*command(tmp_path / "stopped", 2), ranks=2)) == [0, 0]
    assert_same(run, reference)


def test_a_budget_that_ends_for_one_of_two_processes_ends_for_both(begin: Live, tmp_path: Path) -> None:
    """The clock of one process runs out in the middle of an epoch; the same command goes on."""
    assert ended(begin(*command(tmp_path / "reference", 2), ranks=2)) == [0, 0]
    (reference,) = find_runs([tmp_path / "reference"])
    late = "from tests.runs import stopping; stopping.by_clock()"
    budgeted = command(tmp_path / "stopped", 2, "--budget", "30")
    for at, rank in ((8, 1), (13, 0)):
        assert ended(begin(*budgeted, ranks=2, before=late, STOP=f"{at} {rank}")) == [0, 0]
        (run,) = find_runs([tmp_path / "stopped"])
        assert (run.status, run.state["step"]) == ("interrupted", at + 1)
    assert ended(begin(*budgeted, ranks=2)) == [0, 0]
    assert_same(run, reference)
