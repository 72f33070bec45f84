"""A run that an older version made and stopped (0.1.0 at 5919c14) is found, goes on, and is reported as before."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from repro.config import Config, from_mapping, load
from repro.records import RunDirectory, metrics, readings
from repro.report import build
from repro.runs.start import resolve, start

RECORDED = Path(__file__).with_name("recorded")
NAME = "mlp-hidden-4-batch16-train64-test32-learning0.05-warmup2-seed0-0508a9a8"


def config(runs: Path) -> Config:
    return from_mapping(
        {
            "model": {"network": "mlp", "hidden": [4]},
            "data": {"train_size": 64, "test_size": 32, "batch_size": 16, "evaluation_batch_size": 1000},
            "training": {"warmup_steps": 2, "learning_rate": 0.05},
            "trainer": {"max_epochs": 3, "progress": "none", "accelerator": "cpu"},
            "measure": {"measurements": ["weights"], "probe_size": 16},
            "log": {"every_n_steps": 1, "wandb": "disabled"},
            "runs": str(runs),
        }
    )


@pytest.fixture(params=["as it was", "with a CUDA graph"])
def older(tmp_path: Path, request: pytest.FixtureRequest) -> RunDirectory:
    run = RunDirectory(shutil.copytree(RECORDED / "stopped", tmp_path / "single" / NAME))
    if request.param != "as it was":
        text = run.config_path.read_text(encoding="utf-8")
        changed, count = re.subn(r"^  graph: false$", "  graph: true", text, flags=re.MULTILINE)
        assert count == 1
        run.config_path.write_text(changed, encoding="utf-8")
    return run


def test_it_goes_on_to_the_result_of_the_older_version(older: RunDirectory, tmp_path: Path) -> None:
    assert load(older.config_path).trainer.max_epochs == 3
    assert resolve(config(tmp_path)).directory.path == older.path
    outcome = start(config(tmp_path))
    assert outcome.run.path == older.path
    assert (outcome.state["status"], outcome.state["step"], len(older.lives)) == ("finished", 12, 2)
    whole = RunDirectory(RECORDED / "whole")
    keys = ["step", "metric"]
    together = metrics(whole).merge(metrics(older), on=keys, suffixes=("_then", "_now"))
    assert len(together) == len(metrics(whole)) > 40
    assert together["value_now"].tolist() == pytest.approx(together["value_then"].tolist(), rel=1e-5)
    keys = ["step", "measurement", "layer", "name", "mode", "quantity"]
    together = readings(whole).merge(readings(older), on=keys, suffixes=("_then", "_now"))
    assert len(together) == len(readings(whole)) > 40
    assert together["value_now"].tolist() == pytest.approx(together["value_then"].tolist(), rel=1e-4)
    assert outcome.state["final"] == pytest.approx(whole.state["final"], rel=1e-5)
    assert start(config(tmp_path)).action == "skipped"


def test_it_is_reported(older: RunDirectory, tmp_path: Path) -> None:
    page = build([tmp_path / "single"], tmp_path / "page").read_text(encoding="utf-8")
    assert "interrupted at step 6" in page
