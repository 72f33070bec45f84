"""Two real processes: `repro fit` under Lightning's DDP with gloo."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from repro.cli import run as repro
from repro.records import find_runs, readings

FLAGS = [
    *("--model.network", "resnet8", "--model.width", "4", "--data.train_size", "96", "--data.batch_size", "32"),
    *("--data.evaluation_batch_size", "500", "--data.test_size", "100"),
    *("--trainer.max_epochs", "2", "--trainer.accelerator", "cpu"),
    *("--measure.measurements", "[weights,representations,gradients,distance]", "--measure.probe_size", "16"),
    *("--trainer.progress", "none"),
]


def evaluated(run: Path) -> list[str]:
    """What `repro test` prints of a run, in as many processes as trained it."""
    done = subprocess.run(
        [sys.executable, "-m", "repro", "test", str(run)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return done.stdout.splitlines()[1:]


def arguments(folder: Path, devices: int) -> list[str]:
    return ["fit", *FLAGS, "--trainer.devices", str(devices), "--runs", str(folder)]


def strengths(checkpoint: Path) -> list[float]:
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    return [float(value) for name, value in state.items() if name.endswith("strength")]


@pytest.mark.slow
def test_a_process_that_was_begun_here_and_is_killed_is_told(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "repro", *arguments(tmp_path, 2), "--trainer.max_epochs", "5000"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}
    first = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        ends = time.monotonic() + 200
        while not list(tmp_path.rglob("step-*.ckpt")):
            assert time.monotonic() < ends
            time.sleep(0.1)
        children = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
        (second,) = [child for child in children if b"repro" in Path(f"/proc/{child}/cmdline").read_bytes()]
        os.kill(int(second), signal.SIGKILL)
        _, said = first.communicate(timeout=60)
    finally:
        first.kill()
        first.wait()
    assert first.returncode == 1
    assert f"repro: rank 1 (process {second} on " in said
    assert "has gone: it was killed, or its node is down; the run cannot go on without it" in said
    (run,) = find_runs([tmp_path])
    assert run.status == "failed"


@pytest.mark.slow
def test_two_processes_train_one_run_and_measure_the_same(tmp_path: Path) -> None:
    dial = ("--model.skip_strength", "learned")
    assert repro([*arguments(tmp_path / "one", 1), *dial]) == 0
    done = subprocess.run(
        [sys.executable, "-m", "repro", *arguments(tmp_path / "two", 2), *dial, "--log.also", "csv"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    (one,), (two,) = (find_runs([tmp_path / name]) for name in ("one", "two"))
    assert one.name == two.name  # devices are no part of a run's identity
    assert done.stdout.count("finished after 6 steps") == 1
    assert (two.status, two.lives[0]["world_size"]) == ("finished", 2)
    assert len(list(two.path.rglob("*.wandb"))) == 1  # one process logs
    (csv,) = two.path.glob("csv/*/metrics.csv")
    assert pd.read_csv(csv)["test/accuracy"].dropna().iloc[-1] == pytest.approx(two.state["final"]["test_accuracy"])
    learned, learned_together = (strengths(run.saved_checkpoints()[-1]) for run in (one, two))
    assert learned_together == pytest.approx(learned, abs=2e-4)
    assert any(abs(strength - 1) > 1e-2 for strength in learned), "they have moved"
    alone, shared = readings(one), readings(two)
    assert sorted(set(shared["step"])) == [0, 3, 6]
    keys = ["measurement", "layer", "mode", "quantity"]
    assert not shared.duplicated(["step", *keys]).any()
    both = alone[alone["step"] == 0].merge(shared[shared["step"] == 0], on=keys, suffixes=("", "_shared"))
    assert len(both) == (alone["step"] == 0).sum() == (shared["step"] == 0).sum()
    assert isinstance(both, pd.DataFrame)
    assert [line.split(":")[0] for line in evaluated(one.path)] == [line.split(":")[0] for line in evaluated(two.path)]
    for value, other in zip(both["value"], both["value_shared"], strict=True):
        assert other == pytest.approx(value, rel=1e-9, nan_ok=True)
