"""`repro wandb-sync` with the real W&B client against a local stand-in for the service."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from repro.cli import run as repro
from repro.config import load as load_config
from repro.config import to_yaml
from repro.records import RunDirectory, metrics
from repro.studies import manifest
from repro.studies.files import load

LIFE = {"started": "2026-01-01T00:00:00+00:00", "host": "node7", "commit": "c0ffee", "dirty": False}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The folder of a study with one run of two epochs, stopped after the first."""
    demo = load("demo")
    (cell,) = [cell for cell in demo.cells("smoke", runs=str(tmp_path)) if cell.label == "resnet110"]
    folder = tmp_path / "demo-smoke"
    run = RunDirectory.prepare(folder / "resnet110-seed0-0", to_yaml(cell.config))
    run.add_life({**LIFE, "slurm": {"SLURM_JOB_ID": "41"}, "versions": {"torch": "2"}})
    run.update_state(status="interrupted", wandb_id="abcd1234", step=2)
    measure(run, 0, 0)
    for step in (0, 1):
        run.append_metrics(step, 0, {"step/cross_entropy": 3.0 - step, "learning_rate": 0.1})
    measure(run, 2, 0)
    run.append_metrics(2, 0, {"train/accuracy": 0.5, "train/cross_entropy": 1.0})
    content = manifest.content(demo.at("smoke", "repro demo"), [cell], [run.name])
    manifest.write(folder, {**content, "figures": ["weights"]})  # one is enough here
    return folder


def measure(run: RunDirectory, step: int, epoch: int) -> None:
    values = {"condition_number": 2.0 + step, "sigma_max": 2.0 + step, "sigma_min": 1.0, "rank": 3.0}
    where = {"measurement": "weights", "mode": "output", "values": values}
    run.append_readings(step, epoch, ({**where, "layer": layer, "name": f"c{layer}"} for layer in (1, 2, 3)))


def train_on(run: RunDirectory) -> None:
    """A second life from the checkpoint of step 1: it repeats a step, then ends the run."""
    run.append_metrics(1, 0, {"step/cross_entropy": 2.0, "learning_rate": 0.1})
    measure(run, 2, 0)
    run.append_metrics(2, 0, {"train/accuracy": 0.5, "train/cross_entropy": 1.0})
    run.append_metrics(2, 1, {"step/cross_entropy": 0.5, "learning_rate": 0.1})
    run.append_metrics(3, 1, {"step/cross_entropy": 0.25, "learning_rate": 0.1})
    measure(run, 4, 1)
    run.add_life({**LIFE, "slurm": {"SLURM_JOB_ID": "42"}, "versions": {"torch": "2"}})
    run.update_state(status="finished", step=4, seconds=9.0, final={"test_accuracy": 0.75})


def sync(*arguments: object) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # W&B's own
        return repro(["wandb-sync", *map(str, arguments)])


def everything(service: Any) -> str:
    return json.dumps([[vars(run) for run in service.runs.values()], service.artifacts], default=str)


@pytest.mark.slow
def test_a_study_is_replayed_once_however_often_it_is_synced(
    study: Path, wandb_service: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (run,) = [RunDirectory(path.parent) for path in study.glob("*/config.yaml")]

    assert sync(study, "--dry-run") == 0
    assert wandb_service.runs == {}
    assert "3 of 3 steps to send" in capsys.readouterr().err

    assert sync(study) == 0
    remote = wandb_service.runs["abcd1234"]
    assert (remote.preempting, remote.exit_codes) == (True, [1])
    asked = remote.upserts[0]
    assert (asked["displayName"], asked["groupName"], asked["jobType"]) == (run.name, "demo-smoke", "train")
    assert asked["tags"] == ["Oyedotun", "Table 1", "smoke", "resnet110"]
    assert (asked["host"], asked["program"]) == (None, "repro")  # this machine did not train
    assert remote.summary["record/status"] == "interrupted"
    assert remote.summary["condition_number/weights/median"] == 4.0
    assert "charts/weights_table" in remote.history[-1]
    assert "charts/weights" in remote.config["_wandb"]["value"]["visualize"]
    names = [(known["name"], known["type"]) for known in wandb_service.artifacts if known["committed"]]
    assert ("study-demo-smoke", "study") in names

    before = everything(wandb_service)
    wandb_service.requests.clear()
    assert sync(study) == 0
    assert everything(wandb_service) == before
    assert set(wandb_service.requests) == {"Viewer", "RecordedRun", "RecordedFiles"}
    assert "up to date" in capsys.readouterr().err

    train_on(run)
    assert sync(study) == 0
    for name, part in metrics(run).groupby("metric"):
        assert remote.values(str(name)) == list(zip(part["step"], part["value"], strict=True))
    assert [step for step, _ in remote.values("charts/weights_table")] == [0, 2, 4]
    assert str(study) not in everything(wandb_service)
    numbers = [row["_step"] for row in remote.history]
    assert numbers == list(range(len(numbers)))
    steps = [row["trainer/global_step"] for row in remote.history]
    assert steps == sorted(steps)
    assert remote.exit_codes == [1, 0]
    assert (remote.summary["record/status"], remote.summary["final/test_accuracy"]) == ("finished", 0.75)
    jobs = [life["slurm"]["SLURM_JOB_ID"] for life in remote.config["lives"]["value"]]
    assert jobs == ["41", "42"]
    assert remote.config["environment"]["value"]["host"] == "node7"
    assert remote.config["environment"]["value"]["commit"] == "c0ffee"
    reports = [known for known in wandb_service.artifacts if known["type"] == "study"]
    assert len(reports) == 2
    assert {"summary.table.json", "tables.md", "figures/demo-weights.png"} <= set(reports[-1]["files"])


@pytest.mark.slow
def test_a_service_that_fails_in_the_middle_is_told_and_made_good(
    study: Path, failing: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run = next(study.glob("*/config.yaml")).parent
    failing.fail_from = "CreateArtifact"  # with the first table of readings
    assert sync(run) == 2
    waits = ("repro: waiting for W&B to take the rest",)
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("repro: ") and line not in waits]
    assert len(error) == 1
    assert "the same command continues" in error[0]
    failing.status, failing.fail_from = 200, None
    assert sync(run) == 0
    assert [step for step, _ in failing.runs["abcd1234"].values("learning_rate")] == [0, 1]


@pytest.mark.slow
def test_charts_whose_files_were_lost_are_sent_again(
    study: Path, wandb_service: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = next(study.glob("*/config.yaml")).parent
    train_on(RunDirectory(run))
    wandb_service.uploads_fail = True
    with monkeypatch.context() as patch:
        patch.setattr("repro.tracking.wandb_run._PATIENCE_SECONDS", (0.0, 0.1))
        assert sync(run) == 2
    assert "W&B lacks the files of " in capsys.readouterr().err
    remote = wandb_service.runs["abcd1234"]
    rows = len(remote.history)
    wandb_service.uploads_fail = False
    assert sync(run, "--dry-run") == 0
    assert "0 of 5 steps and 2 charts and tables again to send" in capsys.readouterr().err
    assert sync(run) == 0
    shown = {name: value["path"] for name, value in remote.summary.items() if "-file" in str(value)}
    assert {"charts/weights_table", "readings/weights"} == set(shown)
    assert all(remote.files[path] for path in shown.values())
    assert len(remote.history) == rows + 1
    before = everything(wandb_service)
    assert sync(run) == 0
    assert everything(wandb_service) == before


@pytest.mark.slow
def test_pictures_come_with_what_asks_for_them(study: Path, wandb_service: Any) -> None:
    run = RunDirectory(next(study.glob("*/config.yaml")).parent)
    train_on(run)
    run.rewrite_config(to_yaml(load_config(run.config_path)).replace("pictures: false", "pictures: true"))
    assert sync(run.path) == 0
    shown = wandb_service.runs["abcd1234"].summary
    assert {"charts/weights_table", "pictures/weights", "report/weights"} <= shown.keys()


def test_a_dry_run_needs_no_login(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    wandb.teardown()
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    assert sync(study, "--dry-run", "--project", "mine") == 0
    told = capsys.readouterr().err
    assert "has no login" in told
    assert "so everything is listed" in told
    assert "3 of 3 steps to send (?/mine/runs/abcd1234)" in told
    assert "report to send (artifact ?/mine/study-demo-smoke)" in told


@pytest.mark.parametrize(("status", "message"), [(401, "refuses the login (401)"), (500, "answers 500")])
def test_a_refusal_is_one_line(
    study: Path, wandb_service: Any, capsys: pytest.CaptureFixture[str], status: int, message: str
) -> None:
    wandb_service.status = status
    assert sync(study) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_no_connection_no_login_and_no_project_are_one_line(
    study: Path,
    tmp_path: Path,
    wandb_service: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import wandb

    assert sync(study, "--project", "rerpo") == 2
    assert f"W&B at {wandb_service.url} has no project 'rerpo' of 'someone'" in capsys.readouterr().err
    assert sync(study, "--entity", "nobody") == 2
    assert "has no project 'repro' of 'nobody'" in capsys.readouterr().err
    wandb_service.close()
    assert sync(study) == 2
    assert "cannot be reached" in capsys.readouterr().err
    wandb.teardown()
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    assert sync(study) == 2
    assert "has no login" in capsys.readouterr().err
    assert "x" * 40 not in "".join(path.read_text() for path in study.rglob("*") if path.is_file())
