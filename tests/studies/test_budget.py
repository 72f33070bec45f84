"""`repro study run --budget`: stops in time, and goes on, here or elsewhere, as if it had never stopped."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from repro.cli import run
from repro.config import to_yaml
from repro.records import RunDirectory, find_runs, metrics, readings
from repro.runs.checkpoints import RunCheckpoints
from repro.runs.start import ResolvedRun
from repro.runs.stop import OUT_OF_TIME, Interrupted
from repro.studies.files import load
from repro.studies.runner import run_study
from repro.training.classifier import Classifier
from tests.studies.header import HEADER

STUDY = {
    **HEADER,
    "base": {
        "data": {
            "name": "MNIST5k",
            "train_size": 128,
            "batch_size": 32,
            "test_size": 100,
            "evaluation_batch_size": 1000,
        },
        "training": {"warmup_steps": 1},
        "trainer": {"progress": "none", "accelerator": "cpu", "checkpoint_every_n_minutes": 0.5},
        "measure": {"measurements": ["weights"], "probe_size": 16},
        "log": {"every_n_steps": 1, "wandb": "disabled"},
    },
    "grid": {
        "network": {
            "narrow": {"model.network": "mlp", "model.hidden": [8]},
            "wide": {"model.network": "mlp", "model.hidden": [16]},
        }
    },
    "presets": {"cpu": {"settings": {"trainer": {"max_epochs": 2}}, "reductions": ["everything"]}},
    "full_size": "oyedotun-table1",
}
END = "; the same command continues"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(STUDY, sort_keys=False))
    return path


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that only training moves: ten seconds a step."""
    now = SimpleNamespace(seconds=0.0, step=10.0)
    standing = SimpleNamespace(monotonic=lambda: now.seconds, perf_counter=time.perf_counter)
    for module in ("runs.budget", "runs.stop", "runs.checkpoints", "studies.runner"):
        monkeypatch.setattr(f"repro.{module}.time", standing)
    training_step = Classifier.training_step

    def timed(self: Classifier, batch: Any, batch_idx: int) -> torch.Tensor:
        now.seconds += now.step
        return training_step(self, batch, batch_idx)

    monkeypatch.setattr(Classifier, "training_step", timed)
    return now


def weights(directory: RunDirectory) -> dict[str, torch.Tensor]:
    content = torch.load(directory.saved_checkpoints()[-1], weights_only=True)
    momenta = content["optimizer_states"][0]["state"]
    return content["state_dict"] | {f"momentum{n}": each["momentum_buffer"] for n, each in momenta.items()}


def assert_same(here: Path, there: Path) -> None:
    for ours, theirs in zip(find_runs([here]), find_runs([there]), strict=True):
        assert (ours.name, ours.status) == (theirs.name, "finished")
        mine, others = weights(ours), weights(theirs)
        assert [name for name, value in others.items() if not torch.equal(mine[name], value)] == []
        assert metrics(ours).equals(metrics(theirs))
        assert readings(ours).equals(readings(theirs))
        assert ours.state["final"] == theirs.state["final"]


@pytest.mark.slow
def test_each_call_goes_on_where_the_last_one_stopped_wherever_the_runs_are_copied(
    study: Path, undrawn: None, tmp_path: Path, clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_study(load("mine.yaml").cells(runs="whole")) == []
    here, said = tmp_path / "machine0", []
    for number in range(1, 20):
        capsys.readouterr()
        began = clock.seconds
        assert run(["study", "run", "mine.yaml", "--jobs", "1", "--budget", "1.2", "--runs", str(here)]) == 0
        assert clock.seconds - began <= 72
        said.append(capsys.readouterr())
        if "report:" in said[-1].out:
            break
        there = tmp_path / f"machine{number}"
        shutil.copytree(here, there)
        shutil.rmtree(here)
        here = there
    assert len(said) == 3
    lines = [each.err.splitlines()[-1] for each in said[:-1]]
    assert all(line.startswith("repro: the budget of 1.2 minutes is used up: ") for line in lines)
    assert all(line.endswith(END) for line in lines)
    assert "0 of 2 runs are done (1 interrupted, 1 missing; " in lines[0]
    assert "1 of 2 runs are done (1 finished, 1 interrupted; " in lines[-1]
    assert all(len(each.lives) > 1 for each in find_runs([here]))
    assert_same(here / "mine", tmp_path / "whole" / "mine")


def test_no_run_begins_shortly_before_the_end(
    study: Path, tmp_path: Path, clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    clock.step = 7.0  # 8 steps of the first, and 26 seconds are left
    assert run(["study", "run", "mine.yaml", "--jobs", "1", "--budget", f"{82 / 60}"]) == 0
    assert "1 of 2 runs are done (1 finished, 1 missing; " in capsys.readouterr().err
    assert len(find_runs([tmp_path / "runs"])) == 1


def test_a_run_that_failed_shows_in_the_exit_status(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(run: ResolvedRun, **options: Any) -> None:
        if run.config.name == "wide":
            raise Interrupted("stopped", signal=OUT_OF_TIME)
        RunDirectory.prepare(run.directory.path, to_yaml(run.config)).update_state(status="failed")
        raise RuntimeError("it was so")

    monkeypatch.setattr("repro.studies.runner.start", started)
    assert run(["study", "run", "mine.yaml", "--jobs", "1", "--budget", "2"]) == 1
    said = capsys.readouterr().err
    assert "0 of 2 runs are done (1 failed, 1 missing; " in said.splitlines()[-1]
    assert "RuntimeError: it was so" in said


def test_one_task_has_a_budget_too(study: Path, clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["study", "run", "mine.yaml", "--task", "1", "--budget", "1"]
    assert run(command) == 0
    assert f"repro: the budget is used up: stopped at step 4, checkpoint saved{END}" in capsys.readouterr().err
    while "finished before" not in capsys.readouterr().err:
        assert run(command) == 0


def test_a_run_of_its_own_has_one_too(study: Path, clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    Path("narrow.yaml").write_text(to_yaml(load("mine.yaml").cells()[0].config))
    command = ["fit", "--budget", "0.6", "--config", "narrow.yaml"]
    assert run(command) == 0
    assert f"repro: the budget is used up: stopped at step 2, checkpoint saved{END}" in capsys.readouterr().err
    assert run([*command, "--budget=60"]) == 0
    assert "finished after 8 steps" in capsys.readouterr().out


def test_an_evaluation_that_did_not_fit_is_known_the_next_time(
    study: Path, clock: SimpleNamespace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else every call would come as far as the evaluation, leave it, and fall back to the same checkpoint."""
    clock.step = 15.0
    evaluate, took = Classifier._evaluate, [40.0]

    def slow(self: Classifier, batch: Any, part: str) -> None:
        clock.seconds += took[0]
        evaluate(self, batch, part)

    monkeypatch.setattr(Classifier, "_evaluate", slow)
    monkeypatch.setattr(RunCheckpoints, "_is_late", lambda self: False)
    command = ["study", "run", "mine.yaml", "--task", "0", "--budget", "1.6"]
    assert run(command) == 0
    assert "stopped while evaluating after step 4" in capsys.readouterr().err
    (directory,) = find_runs([Path("runs")])
    assert (directory.state["status"], directory.saved_checkpoints()) == ("interrupted", [])
    assert run(command) == 2
    assert "narrow seed 0 takes up to 0.92 for an evaluation and a checkpoint alone" in capsys.readouterr().err
    command[-1] = "2"
    assert run(command) == 0
    assert "stopped at step 3, checkpoint saved" in capsys.readouterr().err
    assert run(command) == 0
    assert "stopped at step 4, checkpoint saved" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--budget", "0"], "--budget is '0'; allowed: minutes, a number above 0"),
        (["--budget", "-2"], "--budget is '-2'; allowed: minutes, a number above 0"),
        (["--budget", "nan"], "--budget is 'nan'; allowed: minutes"),
        (["--budget", "soon"], "--budget is 'soon'; allowed: minutes"),
        (["--budget", "0.9"], "--budget is 0.9 minutes; allowed: 1 or more"),
        (
            ["--budget", "3", "--trainer.checkpoint_every_n_minutes", "4"],
            "3 minutes, and 4 lie between checkpoints (trainer.checkpoint_every_n_minutes of narrow seed 0)",
        ),
        (["--budget", "3", "--task", "1", "--trainer.checkpoint_every_n_minutes", "4"], "and 4 lie between"),
        (["--trainer.checkpoint_every_n_minutes", "-1"], "allowed: above 0, or null"),
        (["--budget", "3", "--again"], "with --again every call starts from the beginning"),
    ],
)
def test_mistakes(study: Path, arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["study", "run", "mine.yaml", *arguments]) == 2
    assert text in capsys.readouterr().err
    assert not Path("runs").exists()


@pytest.fixture
def long_enough(monkeypatch: pytest.MonkeyPatch) -> float:
    """Seconds in which two processes start and train, however busy the machine is: several times what imports take."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import repro.runs.session"], check=True)
    monkeypatch.setattr("repro.studies.runner.LEAST_MINUTES", 0.0)
    seconds = min(max(20.0, 4 * (time.monotonic() - began)), 150.0)
    # None begins after the first quarter, which the imports take: those that begin are the first, however busy it is.
    monkeypatch.setattr("repro.studies.at_once.BEGIN_SECONDS", 0.75 * seconds)
    return seconds


@pytest.mark.slow
def test_runs_in_processes_of_their_own_are_told_in_time(
    study: Path,
    long_enough: float,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Real time."""
    trainer = {"max_epochs": 100_000, "checkpoint_every_n_minutes": 0.1}
    long: dict[str, Any] = {**STUDY, "presets": {"cpu": {"settings": {"trainer": trainer}, "seeds": [0, 1]}}}
    study.write_text(yaml.safe_dump(long, sort_keys=False))
    steps = []
    for _ in range(2):
        began = time.monotonic()
        assert run(["study", "run", "mine.yaml", "--jobs", "2", "--budget", f"{long_enough / 60}"]) == 0
        assert time.monotonic() - began < long_enough + 30  # a busy machine may take longer to end them
        said = capsys.readouterr().err
        assert "0 of 4 runs are done (2 interrupted, 2 missing; " in said.splitlines()[-1]
        steps.append([each.state["step"] for each in find_runs([tmp_path / "runs"])])
    assert all(len(each.saved_checkpoints()) == 2 for each in find_runs([tmp_path / "runs"]))
    assert all(0 < first < second for first, second in zip(*steps, strict=True))
