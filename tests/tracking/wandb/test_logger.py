"""The real W&B client, offline; its logs are decoded with W&B's own protobuf messages."""

from __future__ import annotations

import json
import os
import signal
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repro.config import LogConfig, from_mapping
from repro.records import RunDirectory, metrics
from repro.runs.start import start
from repro.runs.stop import Interrupted
from repro.tracking import wandb_logger
from repro.training.classifier import Classifier

MANIFEST = {"paper": "Oyedotun", "artefact": "Table 1", "preset": "cpu"}


def history(records: list[Any]) -> list[dict[str, Any]]:
    """The rows that were logged."""
    return [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for record in records
        if record.WhichOneof("record_type") == "history"
    ]


def kinds(records: list[Any]) -> dict[tuple[str, str], int]:
    """How often something that is not a number was logged under a name: name and W&B's type."""
    found: dict[tuple[str, str], int] = defaultdict(int)
    for row in history(records):
        for name, value in row.items():
            if name.endswith("/_type"):
                found[name.removesuffix("/_type"), value] += 1
    return dict(found)


def small(tmp_path: Path, **changes: Any) -> Any:
    return from_mapping(
        {
            "model": {"network": "resnet8", "width": 4},
            "data": {"train_size": 64, "batch_size": 32, "evaluation_batch_size": 1000},
            "trainer": {"max_epochs": 2, "progress": "none", "accelerator": "cpu"},
            "training": {"warmup_steps": 1},
            "measure": {"probe_size": 16},
            "log": {"wandb": "offline", "every_n_steps": 1},
            "runs": str(tmp_path),
            **changes,
        }
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run of a study in two lives of an epoch each, the second in a SLURM job."""
    runs = tmp_path_factory.mktemp("runs")
    (runs / "single").mkdir()
    (runs / "single" / "manifest.json").write_text(json.dumps(MANIFEST))
    step = Classifier.training_step

    def stopped(self: Classifier, *given: Any) -> Any:
        if self.trainer.global_step == 1:  # the last of the first epoch
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *given)

    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")  # W&B's own
        patch.setattr(Classifier, "training_step", stopped)
        with pytest.raises(Interrupted):
            start(small(runs))
        patch.setattr(Classifier, "training_step", step)
        patch.setenv("SLURM_JOB_ID", "77")
        return start(small(runs)).run


@pytest.fixture(scope="module")
def logs(run: RunDirectory, wandb_logs: Callable[[Path], list[list[Any]]]) -> list[list[Any]]:
    found = wandb_logs(run.path)
    assert len(found) == 2
    return found


@pytest.mark.slow
def test_every_metric_of_the_record_is_in_the_logs_once_at_its_step(run: RunDirectory, logs: list[list[Any]]) -> None:
    rows = [row for log in logs for row in history(log)]
    table = metrics(run)
    assert len(table) > 20
    for name, part in table.groupby("metric"):
        logged = [(row["trainer/global_step"], row[name]) for row in rows if name in row]
        assert logged == list(zip(part["step"], part["value"], strict=True))


@pytest.mark.slow
def test_steps_rise_over_both_lives(logs: list[list[Any]]) -> None:
    rows = [row for log in logs for row in history(log)]
    numbers = [row["_step"] for row in rows]
    assert numbers == sorted(set(numbers))
    steps = [row["trainer/global_step"] for row in rows]
    assert steps == sorted(steps)
    assert {row["trainer/global_step"] for row in history(logs[1])} == {2, 3, 4}  # 2: the second epoch's first batch


@pytest.mark.slow
def test_both_lives_are_one_run_with_its_group_tags_and_configuration(run: RunDirectory, logs: list[list[Any]]) -> None:
    for log in logs:
        started = next(record.run for record in log if record.WhichOneof("record_type") == "run")
        assert started.run_id == run.state["wandb_id"]
        assert (started.display_name, started.run_group, started.job_type) == (run.name, "single", "train")
        assert sorted(started.tags) == ["Oyedotun", "Table 1", "cpu", "resnet8"]
        config = {item.key: json.loads(item.value_json) for item in started.config.update}
        assert config["model.network"] == "resnet8"
        assert config["training.milestones"] == [0.5, 0.75]
        assert config["environment"]["versions"] == run.lives[-1]["versions"]
    assert config["environment"]["slurm"] == {"SLURM_JOB_ID": "77"}
    assert [life["slurm"] for life in config["lives"]] == [{}, {"SLURM_JOB_ID": "77"}]
    assert config["environment"]["commit"] == run.lives[-1]["commit"]


@pytest.mark.slow
def test_the_checkpoint_knows_the_run(run: RunDirectory) -> None:
    for checkpoint in run.saved_checkpoints():
        assert wandb_logger.WandbIdentifier.stored(checkpoint) == run.state["wandb_id"]
    assert wandb_logger.WandbIdentifier.stored(run.config_path) is None


@pytest.mark.slow
def test_each_measuring_logs_tables_and_charts(run: RunDirectory, logs: list[list[Any]]) -> None:
    for log, measurings in zip(logs, (2, 1), strict=True):
        found = kinds(log)
        assert {key: count for key, count in found.items() if not key[0].startswith("report/")} == {
            ("readings/weights", "table-file"): measurings,
            ("readings/representations", "table-file"): measurings,
            ("charts/weights", "image-file"): measurings,
            ("charts/representations", "image-file"): measurings,
        }
        reported = {name for name, _ in found if name.startswith("report/")}
        wanted = {"report/training-curves", "report/weights", "report/representations"} if log is logs[-1] else set()
        assert wanted <= reported, "when the run has ended"
    assert len(list(run.path.rglob("*.png"))) >= 6


@pytest.mark.slow
def test_a_failing_wandb_does_not_stop_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise OSError("the disk of W&B is full")

    monkeypatch.setattr("wandb.init", broken)
    outcome = start(small(tmp_path))
    (told,) = [line for line in capsys.readouterr().err.splitlines() if "repro: note: " in line]
    assert told.startswith("repro: note: W&B failed and is off for the rest of this run (the disk of W&B is full)")
    assert f"`repro wandb-sync {outcome.run.path}`" in told
    assert outcome.state["status"] == "finished"
    assert len(metrics(outcome.run)) > 20


@pytest.mark.slow
def test_online_without_a_login_goes_on_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import wandb

    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    wandb.teardown()
    run = RunDirectory.prepare(tmp_path / "run", "")
    logger = wandb_logger.RunWandbLogger(run, config=small(tmp_path, log={"wandb": "online"}), identifier="abc")
    logger.start()
    assert not logger.live  # so that a sync need not wait for the run's end
    told = capsys.readouterr().err
    assert "has no login" in told
    assert f"this run logs offline, `repro wandb-sync {run.path}` sends it" in told
    logger.log_metrics({"loss": 1.0}, step=1)
    logger.close("finished")
    assert len(list(tmp_path.rglob("offline-run-*-abc"))) == 1


@pytest.mark.parametrize(
    ("flag", "variable", "mode"),
    [
        (None, None, "offline"),
        (None, "online", "online"),
        (None, "disabled", "disabled"),
        (None, "dryrun", "offline"),
        ("offline", "online", "offline"),
        ("online", "disabled", "online"),
    ],
)
def test_the_mode_is_the_flags_then_the_environments_then_offline(
    flag: Any, variable: str | None, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable is None:
        monkeypatch.delenv("WANDB_MODE", raising=False)
    else:
        monkeypatch.setenv("WANDB_MODE", variable)
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)  # a login is no request
    assert wandb_logger.mode(LogConfig(wandb=flag)) == mode


@pytest.mark.slow
def test_a_run_that_died_online_goes_on_as_the_same_run_at_wandb(
    tmp_path: Path, wandb_service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from repro.training.classifier import Classifier

    step, dead = Classifier.training_step, []

    def dying(self: Any, *arguments: Any) -> Any:
        if self.trainer.global_step == 4 and not dead:
            dead.append(True)
            raise RuntimeError("the node went down")
        return step(self, *arguments)

    monkeypatch.setattr(Classifier, "training_step", dying)
    config = small(tmp_path, data={"train_size": 96, "batch_size": 32}, log={"wandb": "online", "every_n_steps": 1})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # W&B's own
        with pytest.raises(RuntimeError, match="node went down"):
            start(config)
        run = start(config).run  # from the checkpoint of step 3
    (identifier,) = wandb_service.runs
    remote = wandb_service.runs[identifier]
    assert (identifier, run.state["wandb_live"]) == (run.state["wandb_id"], True)
    for name, part in metrics(run).groupby("metric"):
        assert remote.values(str(name)) == list(zip(part["step"], part["value"], strict=True))
    assert [at for at, _ in remote.values("charts/weights")] == [0, 3, 6]
    steps = [row["trainer/global_step"] for row in remote.history]
    assert steps == sorted(steps)
    assert [row["_step"] for row in remote.history] == list(range(len(steps)))
    assert remote.exit_codes == [1, 0]
    assert len(remote.config["lives"]["value"]) == 2
    assert remote.summary["record/status"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("fail_from", ["Viewer", "CreateArtifact"])
def test_a_service_that_fails_does_not_stop_the_run(
    tmp_path: Path,
    wandb_service: Any,
    fail_from: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("repro.tracking.wandb_run.LONGEST_FINISH_SECONDS", 3.0)
    wandb_service.fail_from = fail_from
    config = small(tmp_path, log={"wandb": "online", "every_n_steps": 1})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # W&B's own
        outcome = start(config)
    assert outcome.state["status"] == "finished"
    assert outcome.state["wandb_live"] == (fail_from != "Viewer")
    assert len(metrics(outcome.run)) > 20
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("repro: note: ")]
    assert len(told) == 1
    assert f"`repro wandb-sync {outcome.run.path}`" in told[0]
