"""Cells and their runs: matched, planned, followed, run, kept."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
import yaml

from repro.cli import run
from repro.commands.study.part import Part
from repro.commands.study.run import longest_first
from repro.config import to_yaml
from repro.errors import UserError
from repro.records import RunDirectory, keep, metrics, readings
from repro.studies import plan
from repro.studies.files import load
from repro.studies.match import match
from repro.studies.study import Study
from tests.studies.header import HEADER

CONTENT = {
    **HEADER,
    "base": {
        "model": {"width": 4},
        "data": {"train_size": 64, "batch_size": 32, "test_size": 100, "evaluation_batch_size": 1000},
        "measure": {"probe_size": 32},
    },
    "grid": {"network": {"plain": {"model.network": "plainnet8"}, "res": {"model.network": "resnet8"}}},
    "presets": {"cpu": {"settings": {"trainer": {"max_epochs": 2}}, "reductions": ["everything"], "cost": "seconds"}},
    "paper_values": {"plain": {"test_accuracy": "11.35 ± 0.2"}},
    "paper_runs": 8,
    "full_size": "oyedotun-table1",
    "claims": ["0 <= res.test_accuracy <= 100 | Table 1"],
}


def write(folder: Path, name: str = "mine", **changes: object) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**CONTENT, **changes}, sort_keys=False))
    return str(path)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return load(write(tmp_path))


def made(study: Study, runs: Path, *, status: str = "finished", step: int = 4, **changes: object) -> list[RunDirectory]:
    """Run directories of a study's cells, without training."""
    found = []
    for cell in study.cells(runs=str(runs)):
        directory = RunDirectory.prepare(runs / cell.config.study / f"{cell.label}-run", to_yaml(cell.config))
        directory.add_life(
            {"started": "2026-01-01T00:00:00+00:00", "host": "h", "command": ["/x/repro", "--runs", "/y"]}
        )
        directory.append_metrics(step, 1, {"step/cross_entropy": 1.0})
        directory.append_readings(
            0, 0, [{"measurement": "weights", "layer": 1, "name": "a", "mode": "input", "values": {}}]
        )
        directory.update_state(status=status, step=step, seconds=8.0, wandb_id="abc", **changes)
        found.append(directory)
    return found


def test_runs_are_matched_by_configuration_whatever_they_are_called(study: Study, tmp_path: Path) -> None:
    directories = made(study, tmp_path / "runs")
    found, strays = match(study.cells(), tmp_path / "runs" / "mine")
    assert [each and each.path for each in found] == [each.path for each in directories]
    assert strays == []
    assert match(study.cells(), tmp_path / "nowhere") == ([None, None], [])


def test_a_study_edited_after_its_runs_says_which_no_longer_match(study: Study, tmp_path: Path) -> None:
    directories = made(study, tmp_path / "runs")
    edited = load(write(tmp_path, adjust=[{"cells": "res", "settings": {"training.momentum": 0.5}}]))
    found, strays = match(edited.cells(), tmp_path / "runs" / "mine")
    assert [each and each.path for each in found] == [directories[0].path, None]
    (stray,) = strays
    assert (stray.run.path, stray.difference) == (
        directories[1].path,
        "training.momentum is 0.9 there and 0.5 in the study",
    )
    shrunk = load(write(tmp_path, grid={"network": {"plain": {"model.network": "plainnet8"}}}, claims=[]))
    (stray,) = match(shrunk.cells(), tmp_path / "runs" / "mine")[1]
    assert stray.difference == "the study has no cell res with seed 0"


def test_the_remaining_time_is_by_measured_steps(study: Study, tmp_path: Path) -> None:
    assert [plan.steps(cell.config) for cell in study.cells()] == [4, 4]
    made(study, tmp_path / "runs")
    rates = plan.rates([tmp_path / "runs"])
    longer = load(write(tmp_path, "longer", presets={"cpu": {"settings": {"trainer": {"max_epochs": 50}}}}))
    states = plan.progress(longer.cells(), [None, None], rates)
    assert [(each.status, each.steps, each.remaining) for each in states] == [("missing", 100, 200.0)] * 2
    assert {each.rate for each in states} == {plan.Rate(2.0, "CPU")}
    states = plan.progress(study.cells(), match(study.cells(), tmp_path / "runs" / "mine")[0], rates)
    assert [(each.status, each.remaining) for each in states] == [("finished", 0.0)] * 2
    assert plan.progress(study.cells(), [None, None], {})[0].remaining is None


@pytest.mark.parametrize("status", ["interrupted", "running", "failed"])
@pytest.mark.parametrize("content", [None, "[]", "[{}]"])
def test_a_run_without_a_recorded_life_has_no_rate_of_its_own(
    study: Study, tmp_path: Path, status: str, content: str | None
) -> None:
    for directory in (directories := made(study, tmp_path / "runs", status=status, step=2)):
        (directory.path / "environment.json").unlink(missing_ok=True)
        if content is not None:
            (directory.path / "environment.json").write_text(content)
        assert directory.last_life == {}
    states = plan.progress(study.cells(), directories, {})
    assert [each.steps for each in states] == [4, 4]


def test_what_was_timed_is_remembered_until_a_run_tells_better(study: Study, tmp_path: Path) -> None:
    runs, config = tmp_path / "runs", study.cells()[0].config
    plan.remember(runs, config, plan.Rate(7.0, "some GPU", 1000))
    states = plan.progress(study.cells(), [None, None], plan.rates([runs]))
    assert [each.remaining for each in states] == [28.0, None]
    made(study, runs)
    assert plan.rates([runs])[plan.kind(config)] == plan.Rate(2.0, "CPU")
    (runs / plan.NAME).write_text("{half", encoding="utf-8")
    assert set(plan.rates([runs])) == {plan.kind(cell.config) for cell in study.cells()}


@pytest.mark.slow
def test_steps_are_timed_where_no_run_has_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rand = {"model.network": "cnn13", "model.skip_neurons": 64, "model.train": "output"}
    write(tmp_path, grid={"network": {"plain": {"model.network": "plainnet8"}, "rand": rand}}, claims=[])
    assert run(["study", "plan", "mine.yaml", "--measure"]) == 0
    captured = capsys.readouterr()
    assert "timing plain seed 0 (1/2)" in captured.err
    assert "rand seed 0 cannot be timed: random features" in captured.err
    seconds = next(line for line in captured.out.splitlines() if line.startswith("plain")).split(" left ")[1]
    assert 1e-4 < float(seconds.split()[0]) < 10
    assert "MB of checkpoints" in captured.out
    assert not list((tmp_path / "runs").glob("*/")), "no run is made"
    assert run(["study", "plan", "mine.yaml", "--measure"]) == 0
    assert "timing plain" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "not known"), (0.0, "0 s"), (100.0, "100 s"), (150.0, "2.5 min"), (9000.0, "2.5 h"), (3e5, "3.5 days")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert plan.duration(seconds) == text


def test_plan_and_status_say_what_there_is(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["study", "plan", "mine.yaml"]) == 0
    out = capsys.readouterr().out
    assert "plain seed 0" in out
    assert "2 runs whose step time is not known" in out
    assert "reduced: everything" in out
    assert "repro study run mine.yaml" in out
    made(study, Path("runs"), status="failed", step=1, reason="ValueError: so it was")
    assert run(["study", "status", "mine.yaml"]) == 0
    out = capsys.readouterr().out
    assert "25 %" in out
    assert "ValueError: so it was" in out
    assert "2 failed; time left: not known" in out


def test_no_command_plans_or_runs_a_study_of_which_one_cell_cannot_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = {"model.network": ["resnet8", "resnt8"]}
    file = write(tmp_path, grid=grid, paper_values={}, claims=[])
    for action in ("plan", "run"):
        assert run(["study", action, file, "--runs", str(tmp_path / "runs")]) == 2
        out, error = capsys.readouterr()
        assert out == ""
        assert "unknown network family 'resnt'; nearest: resnet" in error
    assert not (tmp_path / "runs").exists()


def test_a_damaged_record_is_told(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    directory, other = made(study, tmp_path / "runs")
    (directory.path / "state.json").write_text('{"status": "fin')
    for action, there in (("status", "finished"), ("plan", "finished"), ("report", "finished"), ("keep", other.name)):
        assert run(["study", action, write(tmp_path), "--runs", str(tmp_path / "runs")]) == 2
        shown = capsys.readouterr()
        assert shown.err.count("state.json' is damaged") == 1
        assert there in shown.out, "and the others are shown"
    assert "Left out: " in (directory.path.parent / "report" / "tables.md").read_text()


def test_a_copy_that_cannot_be_written_leaves_the_earlier_one(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, _ = made(study, tmp_path / "runs")
    keep(directory, target := tmp_path / "kept")
    before = {path: path.read_bytes() for path in target.rglob("*")}
    directory.append_metrics(9, 1, {"test/accuracy": 0.5})
    full = OSError(errno.ENOSPC, "No space left on device")
    opened = Path.open

    def until_the_state(path: Path, *arguments: object, **options: object) -> object:
        if ".state.json" in path.name:
            raise full
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", until_the_state)
    with pytest.raises(UserError, match="No space left"):
        keep(directory, target)
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in target.rglob("*")} == before


def test_kept_records_read_as_the_run_does_and_name_no_machine(study: Study, tmp_path: Path) -> None:
    directory, _ = made(study, tmp_path / "runs")
    earlier = tmp_path / "results" / "mine" / directory.name / "metrics.jsonl"  # which older versions did not compress
    earlier.parent.mkdir(parents=True)
    earlier.write_text('{"step": 1, "epoch": 0, "metrics": {"test/accuracy": 0.125}}\n')
    keep(directory, earlier.parent)
    kept = RunDirectory.open(tmp_path / "results" / "mine" / directory.name)
    assert kept.state["step"] == 4
    assert "wandb_id" not in kept.state
    assert metrics(kept).equals(metrics(directory))
    assert readings(kept).equals(readings(directory))
    keep(kept, tmp_path / "again")
    again = RunDirectory.open(tmp_path / "again")
    assert metrics(again).equals(metrics(directory)), "a copy of a copy has all of it"
    assert readings(again).equals(readings(directory))
    keep(directory, directory.path)
    assert (directory.path / "metrics.jsonl").exists(), "what a run goes on writing stays, if it is kept in its place"
    assert kept.lives == [{"started": "2026-01-01T00:00:00+00:00", "command": ["repro", "--runs", "runs"]}]
    for path in kept.path.rglob("*"):
        assert str(tmp_path).encode() not in path.read_bytes()
    found, _ = match(study.cells(), tmp_path / "results" / "mine")
    assert found[0] is not None


def test_status_names_the_record_that_results_keeps(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    directory, _ = made(study, Path("runs"))
    assert run(["study", "keep", "mine.yaml"]) == 0
    capsys.readouterr()
    assert run(["study", "status", "mine.yaml", "--runs", "elsewhere"]) == 0
    first, _, together = capsys.readouterr().out.splitlines()
    assert "missing" in first
    assert first.endswith(f"an earlier run's record: {Path('results', 'mine', directory.name)}")
    assert together.startswith("2 missing")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["run", "--jobs", "0"], "--jobs is 0; allowed: 1 or more"),
        (["keep"], "has no finished run of this study"),
        (["plan", "--preset", "cup"], "unknown preset of study mine 'cup'; nearest: cpu"),
    ],
)
def test_mistakes(
    arguments: list[str],
    text: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    action, *rest = arguments
    assert run(["study", action, write(tmp_path), *rest]) == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"runs_of": "demo"}, "takes the runs of demo, and with them its base"),
        ({"adjust": [{"cells": "nobody"}]}, "unknown cell 'nobody'"),
        ({"adjust": [{"cells": "res", "seed": [1]}]}, "unknown key 'seed'; nearest: seeds"),
        ({"paper_values": {"res": {"test_accuracy": "good"}}}, "paper value 'good' is neither"),
        ({"grid": {"network": "plainnet8"}}, "allowed: keys with lists of values, or names with variants"),
    ],
)
def test_mistakes_in_the_file(changes: dict[str, object], text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=text):
        load(write(tmp_path, **changes))


def test_adjustments_change_settings_seeds_and_leave_cells_out(tmp_path: Path) -> None:
    adjust = [
        {"cells": "r*", "settings": {"training.learning_rate": 0.5, "model.skip_neurons": 5}, "seeds": [3, 4]},
        {"cells": "plain", "seeds": []},
    ]
    cells = load(write(tmp_path, adjust=adjust, seed_key="model.skip_seed")).cells()
    assert [(cell.label, cell.seed, cell.config.seed, cell.config.model.skip_seed) for cell in cells] == [
        ("res", 3, 0, 3),
        ("res", 4, 0, 4),
    ]
    assert {cell.config.training.learning_rate for cell in cells} == {0.5}


def test_another_look_at_the_same_runs(tmp_path: Path) -> None:
    first = load(write(tmp_path))
    path = tmp_path / "figure.yaml"
    own = {"runs_of": str(tmp_path / "mine.yaml"), "title": "A figure", "artefact": "Fig. 7", "figures": ["weights"]}
    path.write_text(yaml.safe_dump(own))
    second = load(str(path))
    assert (second.title, second.paper, second.figures) == ("A figure", "Oyedotun", ["weights"])
    assert (second.claims, second.paper_values) == ([], {})
    assert [cell.config for cell in second.cells()] == [cell.config for cell in first.cells()]


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_cells_run_at_once_in_processes_and_are_skipped_the_second_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("repro.studies.saying._SAY_SECONDS", 0.02)
    monkeypatch.setattr("repro.studies.at_once._LOOK_SECONDS", 0.02)
    file = write(tmp_path)
    assert run(["study", "run", file, "--jobs", "2"]) == 0
    said = capsys.readouterr()
    assert said.err.count(": done") == 2
    assert re.search(r"res-seed0.*: epoch \d/2, step", said.err), "how far a cell is"
    assert "**holds**" in said.out
    results = json.loads((tmp_path / "runs" / "mine" / "report" / "results.json").read_text())
    assert [each["status"] for each in results] == ["finished"] * 2
    assert (tmp_path / "runs" / "mine" / "report" / "tables" / "mine.csv").is_file()
    assert run(["study", "run", file]) == 0
    assert capsys.readouterr().err.count("finished before, nothing to do") == 2
    assert run(["study", "keep", file]) == 0
    assert len(list((tmp_path / "results" / "mine").iterdir())) == 2


def test_the_longest_cells_begin_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # away from the records that the repository keeps
    rates = {name: 0.1 / epochs for name, epochs in (("2", 2), ("6", 6), ("4", 4))}
    grid = {"run": {name: {"trainer.max_epochs": int(name), "training.learning_rate": rates[name]} for name in rates}}
    part = Part(name=write(tmp_path, grid=grid, presets={"cpu": {}}, paper_values={}, claims=[]), runs=str(tmp_path))
    cells = part.cells

    def order() -> list[str]:
        return [each.label for each in longest_first(part)]

    assert order() == ["2", "6", "4"], "nothing is known"
    plan.remember(tmp_path, cells[0].config, plan.Rate(1.0, "CPU"))
    assert order() == ["6", "4", "2"]
    RunDirectory.prepare(tmp_path / "mine" / "begun", to_yaml(cells[2].config))
    assert order() == ["4", "6", "2"], "what has begun goes on first"
    two = Part(name=part.name, runs=str(tmp_path), seed=(0, 1))
    assert [(each.label, each.seed) for each in longest_first(two)] == [
        ("4", 0),
        *[("6", 0), ("2", 0)],
        *[("6", 1), ("4", 1), ("2", 1)],
    ], "the first seed of every cell before the second of any"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["terminal", "twice", "terminated"])
def test_cells_that_run_at_once_stop_with_their_checkpoints(how: str, tmp_path: Path) -> None:
    """A terminal's Ctrl-C goes to every process of its foreground group; SIGTERM to the one that was named.

    A third cell, which has not begun, stays so.
    """
    long = {"cpu": {"settings": {"trainer": {"max_epochs": 100_000, "checkpoint_every_n_epochs": 1_000}}}}
    grid = {"network": {**CONTENT["grid"]["network"], "third": {"model.network": "resnet14"}}}  # type: ignore[index]
    file = write(tmp_path, presets=long, grid=grid)
    command = [sys.executable, "-m", "repro", "study", "run", file, "--jobs", "2"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdin=end,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    try:
        deadline = time.monotonic() + 240
        while len(list(tmp_path.rglob("metrics.jsonl"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        if how != "terminated":
            os.write(terminal, b"\x03")
            if how == "twice":
                time.sleep(0.3)
                os.write(terminal, b"\x03")
        else:
            process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=300)
    finally:
        process.kill()
        os.close(end)
        os.close(terminal)
    assert process.returncode == 128 + (signal.SIGTERM if how == "terminated" else signal.SIGINT)
    assert "repro: stopped, every cell that ran has its checkpoint; the same command continues" in said
    assert "Traceback" not in said
    states = [RunDirectory(path.parent).state for path in (tmp_path / "runs").rglob("state.json")]
    assert [state["status"] for state in states] == ["interrupted"] * 2
    assert all(state["step"] > 0 for state in states)
    assert len(list((tmp_path / "runs").rglob("step-*.ckpt"))) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_a_cell_that_fails_is_named_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text(
        "import torch\nclass Net(torch.nn.Module):\n"
        "    def __init__(self, num_classes, in_channels):\n        super().__init__()\n"
        "        self.layer = torch.nn.Linear(3, num_classes)\n"
        "    def forward(self, images):\n        return self.layer(images)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parents[2]}:{tmp_path}")
    grid = {
        "network": {"res": {"model.network": "resnet8"}, "broken": {"model.network": "broken:Net", "model.width": None}}
    }
    file = write(tmp_path, grid=grid, paper_values={})
    for options in (["--jobs", "1"], ["--jobs", "2", "--runs", "others"]):
        assert run(["study", "run", file, "--trust", "broken", *options]) == 1
        said = capsys.readouterr()
        assert "repro: broken seed 0 failed" in said.err
        assert "**holds**" in said.out


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_a_mistake_that_only_building_shows_stops_its_own_cell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    neurons = {"some": 10, "too-many": 10**9, "more": 20}
    grid = {"run": {name: {"model.network": "resnet8", "model.skip_neurons": count} for name, count in neurons.items()}}
    file = write(tmp_path, grid=grid, paper_values={}, claims=["0 <= more.test_accuracy <= 100 | Table 1"])
    assert run(["study", "run", file, "--jobs", "1"]) == 1
    said = capsys.readouterr()
    assert "too-many seed 0 (2/3): model.skip_neurons is 1000000000; allowed: 1 to " in said.err
    assert "repro: too-many seed 0 failed" in said.err
    assert "Traceback" not in said.err
    assert "**holds**" in said.out
    del grid["run"]["some"]
    file = write(tmp_path, "first", grid=grid, paper_values={}, claims=[])
    assert run(["study", "run", file, "--jobs", "1"]) == 2, "in the first it is most likely that of all"
    assert not list((tmp_path / "runs" / "first").glob("more*"))
