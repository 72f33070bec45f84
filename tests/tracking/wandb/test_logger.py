"""The real W&B client, offline; its logs are decoded with W&B's own protobuf messages."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repro.config import LogConfig, from_mapping
from repro.measurements import MEASUREMENTS
from repro.records import RunDirectory, metrics, readings
from repro.runs.start import start
from repro.runs.stop import Interrupted, StopRequest
from repro.tracking import wandb_logger
from repro.tracking.charts import chart
from repro.tracking.wandb_description import describe
from repro.tracking.wandb_service import place
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
            "data": {"train_size": 64, "batch_size": 32, "test_size": 100, "evaluation_batch_size": 1000},
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
        charts = ("weights", "representations", "representations_matrix")
        assert found == {
            ("readings/weights", "table-file"): measurings,
            ("readings/representations", "table-file"): measurings,
            **{(f"charts/{name}_table", "table-file"): measurings for name in charts},
        }
    assert not list(run.path.rglob("*.png")), "pictures are sent on request"


@pytest.mark.slow
def test_charts_are_presets_of_wandbs_over_the_newest_kappas_by_layer(run: RunDirectory, logs: list[list[Any]]) -> None:
    visualised = [
        json.loads(item.value_json)
        for record in logs[-1]
        for item in record.config.update
        if "charts/weights" in item.nested_key
    ]
    (panel,) = visualised
    assert panel["panel_config"]["panelDefId"] == "wandb/line/v0"
    assert panel["panel_config"]["fieldSettings"] == {"x": "layer", "y": "log10_kappa", "stroke": "when"}
    query = json.dumps(panel["panel_config"]["userQuery"])
    assert '"runSets"' in query
    assert '"charts/weights_table"' in query  # the same of every run: they lie over each other
    newest = [row for row in history(logs[-1]) if "charts/weights_table/path" in row][-1]
    (file,) = run.path.rglob(Path(newest["charts/weights_table/path"]).name)
    table = json.loads(file.read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    recorded = MEASUREMENTS["weights"].kappas[0].table(readings(run))
    last = recorded[recorded["step"] == recorded["step"].max()]
    now = [row for row in rows if row["when"] == "now"]
    assert [row["layer"] for row in now] == last["layer"].tolist()
    for row, (kappa, kind) in zip(now, last[["kappa", "kind"]].itertuples(index=False), strict=True):
        infinite = {"beyond float32": 8, "singular": 12}
        assert row["kind"] == kind
        assert row["log10_kappa"] == pytest.approx(math.log10(kappa) if math.isfinite(kappa) else infinite[kind])
    assert {row["when"] for row in rows} == {"now", "before training"}


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


@pytest.mark.slow
def test_nothing_tells_where_the_machine_has_its_files_unless_asked(
    run: RunDirectory, tmp_path: Path, wandb_logs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["/home/me/bin/repro", "fit", f"--runs={tmp_path}"])
    asked = subprocess.run(["git", "remote"], capture_output=True, text=True, check=False)
    has_remote = bool(asked.stdout.strip())
    for places in (False, True):
        run = RunDirectory.prepare(tmp_path / str(places) / "run", "")
        run.add_life({"started": "now", "command": sys.argv})
        config = small(tmp_path / "runs", log={"wandb": "offline", "places": places})
        logger = wandb_logger.RunWandbLogger(run, config=config, identifier="abc")
        logger.start()
        logger.log_metrics({"loss": 1.0}, step=1)
        logger.close("finished")
        (log,) = wandb_logs(run.path)
        (started,) = (record.run for record in log if record.WhichOneof("record_type") == "run")
        told = str(started)
        assert (str(tmp_path) in told, "/home/me" in told) == (places, places)
        assert bool(started.git.remote_url) == (places and has_remote)


@pytest.mark.slow
def test_wandbs_environment_variables_are_taken_and_kept_for_a_later_sync(
    tmp_path: Path, wandb_logs: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import wandb

    wandb.teardown()
    values = {"TAGS": "night, owl", "RUN_GROUP": "g" * 200, "NOTES": "why", "NAME": "mine", "PROJECT": "other"}
    for name, value in {**values, "JOB_TYPE": "job", "DIR": str(tmp_path / "own"), "RUN_ID": "me"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    (tmp_path / "own").mkdir()
    run = RunDirectory.prepare(tmp_path / "single" / "run", "")
    config = small(tmp_path)
    logger = wandb_logger.RunWandbLogger(run, config=config, identifier="abc")
    logger.start()
    logger.close("finished")
    assert "WANDB_RUN_ID not taken: each run has an id of its own at W&B" in capsys.readouterr().err
    ((started,),) = (
        [record.run for record in log if record.WhichOneof("record_type") == "run"]
        for log in wandb_logs(tmp_path / "own")
    )
    assert (started.run_id, started.project, started.display_name) == ("abc", "other", "mine")
    assert (started.notes, started.job_type) == ("why", "job")
    assert (len(started.run_group), started.run_group[:119]) == (128, "g" * 119)
    assert list(started.tags) == ["resnet8", "night", "owl"]
    for name in (*values, "JOB_TYPE", "RUN_ID"):
        monkeypatch.delenv(f"WANDB_{name}")
    later = describe(run, config)
    assert (later.name, later.notes, later.job_type, later.tags) == ("mine", "why", "job", list(started.tags))
    assert place(config.log, run.state["wandb"]) == ("other", None)
    assert place(LogConfig(project="said"), run.state["wandb"], entity="team") == ("said", "team")


@pytest.mark.parametrize(
    ("variables", "mode"),
    [
        ({"WANDB_DISABLED": "true"}, "disabled"),
        ({"WANDB_DISABLED": "false", "WANDB_MODE": "online"}, "online"),
        ({"WANDB_SWEEP_ID": "s", "WANDB_RUN_ID": "r"}, "online"),
        ({"WANDB_SWEEP_ID": "s", "WANDB_RUN_ID": "r", "WANDB_MODE": "offline"}, "offline"),
        ({"WANDB_RUN_ID": "r"}, "offline"),
    ],
)
def test_a_sweeps_agent_is_online_and_disabled_is_disabled(
    variables: dict[str, str], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MODE", "DISABLED", "SWEEP_ID", "RUN_ID"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert wandb_logger.mode(LogConfig()) == mode


@pytest.mark.parametrize(
    ("flag", "variable", "mode"),
    [
        (None, None, "offline"),
        (None, "online", "online"),
        (None, "disabled", "disabled"),
        (None, "dryrun", "offline"),
        ("offline", "online", "offline"),
        ("online", "disabled", "online"),
        (None, "ONLINE ", "online"),
        (None, "onlin", "offline"),
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
    assert [at for at, _ in remote.values("charts/weights_table")] == [0, 3, 6]
    assert remote.config["_wandb"]["value"]["visualize"].keys() >= {"charts/weights", "charts/representations"}
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
    failing: Any,
    fail_from: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("repro.tracking.wandb_run.LONGEST_FINISH_SECONDS", 3.0)
    failing.fail_from = fail_from
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


def test_a_chart_tells_kinds_of_infinite_kappa_apart(tmp_path: Path) -> None:

    sigmas = {1: (4.0, 2.0, 2.0), 2: (4.0, 1e-9, math.inf), 3: (4.0, 0.0, math.inf), 4: (math.nan, math.nan, math.nan)}
    run = RunDirectory.prepare(tmp_path / "run", "")
    run.append_readings(
        0,
        0,
        (
            {
                "measurement": "weights",
                "layer": layer,
                "name": f"c{layer}",
                "mode": "output",
                "values": {"condition_number": kappa, "sigma_max": high, "sigma_min": low},
            }
            for layer, (high, low, kappa) in sigmas.items()
        ),
    )
    table = chart(MEASUREMENTS["weights"].kappas[0], readings(run)).table
    heights = {row[0]: row[4] for row in table.data}
    assert heights == {1: pytest.approx(math.log10(2)), 2: 8.0, 3: 12.0, 4: None}


def test_a_wandb_that_hangs_is_left_when_the_run_has_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("repro.waiting.SAY_SECONDS", 0.1)
    monkeypatch.setattr("repro.runs.stop.PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr("wandb.init", lambda **_options: time.sleep(30))
    logger = wandb_logger.RunWandbLogger(
        RunDirectory.prepare(tmp_path / "run", ""), config=small(tmp_path), identifier="abc"
    )
    request, began = StopRequest(), time.monotonic()
    with request.listening():
        request.ask(signal.SIGTERM)
        logger.start()
    assert time.monotonic() - began < 10
    told = capsys.readouterr().err
    assert "repro: waiting for W&B to open the run\n" in told
    assert "W&B failed and is off for the rest of this run (stopped while waiting for W&B to open the run)" in told
