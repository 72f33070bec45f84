"""Lightning's own loggers beside the record: the same numbers, the same weights, nothing that can stop a run."""

from __future__ import annotations

import csv
import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from repro.config import from_mapping
from repro.errors import UserError
from repro.records import RunDirectory, metrics
from repro.runs.start import start
from repro.tracking import other_loggers
from repro.tracking.other_loggers import BesideLogger
from repro.training.classifier import Classifier


def small(folder: Path, also: str | None, **changes: Any) -> Any:
    return from_mapping(
        {
            "model": {"network": "resnet8", "width": 4},
            "data": {"train_size": 64, "batch_size": 32, "test_size": 50, "evaluation_batch_size": 100},
            "trainer": {"max_epochs": 2, "progress": "none", "accelerator": "cpu"},
            "training": {"warmup_steps": 1},
            "measure": {"probe_size": 16, "measurements": ["weights"]},
            "log": {"wandb": "disabled", "every_n_steps": 1, "also": also},
            "runs": str(folder),
            **changes,
        }
    )


def died_once(monkeypatch: pytest.MonkeyPatch, config: Any) -> RunDirectory:
    """A run of two lives: the first dies after the checkpoint of its first epoch."""
    step, dead = Classifier.training_step, []

    def dying(self: Any, *given: Any) -> Any:
        if self.trainer.global_step == 3 and not dead:
            dead.append(True)
            raise RuntimeError("the node went down")
        return step(self, *given)

    monkeypatch.setattr(Classifier, "training_step", dying)
    with pytest.raises(RuntimeError, match="node went down"):
        start(config)
    return start(config).run


def weights(run: RunDirectory) -> dict[str, torch.Tensor]:
    return dict(torch.load(run.saved_checkpoints()[-1], weights_only=True)["state_dict"])


def test_an_unknown_one_and_one_that_is_not_installed_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"unknown logger in log.also 'tensorbord'; nearest: tensorboard"):
        small(tmp_path, "csv,tensorbord")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"log.also has mlflow, which is not installed; pip install mlflow"):
        other_loggers.other_loggers(RunDirectory(tmp_path), small(tmp_path, "csv,mlflow"))


@pytest.mark.slow
def test_a_run_that_died_has_its_numbers_in_csv_and_the_weights_of_one_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = start(small(tmp_path / "plain", None)).run
    run = died_once(monkeypatch, small(tmp_path / "csv", "csv"))
    assert run.name == plain.name, "what else is logged is no part of the result"
    assert all(torch.equal(value, weights(plain)[name]) for name, value in weights(run).items())
    found: dict[tuple[str, int], float] = {}
    for life in ("life-1", "life-2"):
        with (run.path / "csv" / life / "metrics.csv").open() as file:
            for row in csv.DictReader(file):
                found |= {(name, int(row["step"])): float(value) for name, value in row.items() if value}
        assert (run.path / "csv" / life / "hparams.yaml").is_file()
    for name, step, value in metrics(run)[["metric", "step", "value"]].itertuples(index=False):
        assert math.isclose(found[str(name), int(step)], float(value), rel_tol=1e-6)
    assert ("condition_number/weights/median", 4) in found


@pytest.mark.slow
def test_tensorboard_has_the_numbers_of_both_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorboard.backend.event_processing import event_accumulator as accumulator

    run = died_once(monkeypatch, small(tmp_path, "tensorboard"))
    last = accumulator.EventAccumulator(str(run.path / "tensorboard" / "life-2")).Reload()
    (recorded,) = metrics(run).query("metric == 'test/accuracy' and step == 4")["value"]
    assert last.Scalars("test/accuracy")[-1].value == pytest.approx(recorded, rel=1e-6)
    assert (run.path / "tensorboard" / "life-1").is_dir()


@pytest.mark.slow
def test_mlflow_has_one_run_of_both_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path / 'mlruns'}")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # all that the small package has
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        run = died_once(monkeypatch, small(tmp_path, "mlflow"))
        client = mlflow.MlflowClient()
        (experiment,) = [found for found in client.search_experiments() if found.name == "single"]
        (told,) = client.search_runs([experiment.experiment_id])
        history = client.get_metric_history(told.info.run_id, "test/accuracy")
    assert (told.info.run_name, told.info.run_id) == (run.name, run.state["mlflow_run_id"])
    assert told.info.status == "FINISHED"
    recorded = metrics(run).query("metric == 'test/accuracy'")
    assert dict(zip(recorded["step"], recorded["value"], strict=True)) == pytest.approx(
        {point.step: point.value for point in history}
    )


def test_a_failure_is_told_once_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_run: RunDirectory) -> Any:
        raise OSError("its server is down")

    monkeypatch.setattr(other_loggers, "_csv", broken)
    logger = BesideLogger("csv", RunDirectory.prepare(tmp_path / "run", ""), small(tmp_path, "csv"))
    for step in range(3):
        logger.log_metrics({"loss": 1.0}, step)
    logger.close("finished")
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "csv failed and is off for the rest of this run (OSError: its server is down)" in told
