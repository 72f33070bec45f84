"""W&B's own `wandb sync` on the offline logs of a run in two lives: what the documents say of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from repro.config import from_mapping
from repro.records import RunDirectory, metrics
from repro.tracking.wandb_cursor import Position
from repro.tracking.wandb_logger import RunWandbLogger


def live(run: RunDirectory, steps: range, status: str) -> None:
    """A life of a run that records, and logs to W&B offline, a loss at each of these steps."""
    logger = RunWandbLogger(run, config=from_mapping({"log": {"wandb": "offline"}}), identifier="abcd1234")
    run.update_state(wandb_id="abcd1234", status=status)
    logger.start()
    for step in steps:
        run.append_metrics(step, 0, {"loss": 1.0 / (step + 1)})
        logger.log_metrics({"loss": 1.0 / (step + 1)}, step)
    logger.close(status)


@pytest.mark.slow
def test_both_lives_in_one_command_are_one_run_in_order_and_ours_then_has_nothing_to_send(
    tmp_path: Path, wandb_service: Any, wandb_logs: Any
) -> None:
    run = RunDirectory.prepare(tmp_path / "single" / "run", "")
    live(run, range(3), "interrupted")
    live(run, range(2, 5), "finished")  # it repeats a step from its checkpoint
    wandb_logs(run.path)
    folders = [str(path) for path in run.path.glob("wandb/offline-run-*")]
    assert len(folders) == 2
    done = subprocess.run(
        [sys.executable, "-m", "wandb", "sync", *folders[::-1]],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    remote = wandb_service.runs["abcd1234"]
    recorded = metrics(run)
    assert remote.values("loss") == list(zip(recorded["step"], recorded["value"], strict=True))
    assert [row["_step"] for row in remote.history] == sorted({row["_step"] for row in remote.history})
    assert Position.of_summary(remote.summary).step == 4
