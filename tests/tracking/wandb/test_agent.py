"""A sweep with W&B's real agent and client, against the local stand-in for the service."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from repro.config import from_mapping
from repro.records import RunDirectory, find_runs, metrics
from repro.studies.study import StudyCell
from repro.studies.sweep import write

BASE = {
    "model": {"network": "resnet8", "width": 4},
    "data": {"train_size": 64, "batch_size": 32, "test_size": 50},
    "trainer": {"max_epochs": 1, "progress": "none", "accelerator": "cpu"},
    "training": {"warmup_steps": 1},
    "measure": {"measurements": []},
    "study": "search",
}


@pytest.mark.slow
def test_an_agents_runs_are_the_sweeps_and_one_that_ended_before_is_told_to_it(
    tmp_path: Path, wandb_service: Any
) -> None:
    cells = [
        StudyCell(
            label="resnet8", seed=seed, config=from_mapping({**BASE, "seed": seed, "runs": str(tmp_path / "runs")})
        )
        for seed in (0, 1)
    ]
    sweep = yaml.safe_load(write(cells, tmp_path / "sweep", name="search").read_text())
    assert sweep["parameters"] == {"seed": {"values": [0, 1]}}
    wandb_service.sweep = {**sweep, "command": [sys.executable, "-m", *sweep["command"]]}
    given = {"type": "run", "program": "repro", "args": {"seed": {"value": 1}}}
    wandb_service.commands = [{**given, "run_id": "first"}, {**given, "run_id": "again"}, {"type": "exit"}]
    done = subprocess.run(
        [sys.executable, "-m", "wandb", "agent", "someone/repro/s"],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    (run,) = find_runs([tmp_path / "runs"])
    assert isinstance(run, RunDirectory)
    assert wandb_service.runs.keys() == {"first", "again"}, done.stderr
    for remote in wandb_service.runs.values():
        assert [upsert.get("sweep") for upsert in remote.upserts if upsert.get("sweep")][:1] == ["s"]
        assert remote.exit_codes == [0]
        for name, part in metrics(run).groupby("metric"):
            assert remote.values(str(name)) == list(zip(part["step"], part["value"], strict=True))
