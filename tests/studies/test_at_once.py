"""Cells side by side in processes: which GPU and how many threads each gets, and that nothing begins after a stop."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from repro.cli import run
from repro.runs.stop import Interrupted
from repro.studies import at_once
from repro.studies.at_once import AtOnce
from repro.studies.files import load
from repro.studies.saying import Bar
from repro.studies.study import StudyCell
from tests.studies.header import HEADER

# Notes when it begins and ends and with what; lives as long as its configuration's seed says, in tenths of a second; of
# seed 1000 until three others are done.
PROGRAM = """
import json, os, signal, sys, time, yaml
config = yaml.safe_load(open(sys.argv[1]))
kept = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "CUDA_VISIBLE_DEVICES")}
def note(what):
    with open(sys.argv[2], "a") as file:
        file.write(json.dumps({"seed": config["seed"], "what": what, "at": time.monotonic(), **kept}) + chr(10))
def leave(number, frame):
    time.sleep(30 if config["seed"] == 700 else 0.3)
    note("saved")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
note("begun")
if config["seed"] == 1000:
    while open(sys.argv[2]).read().count("done") < 3:
        time.sleep(0.05)
else:
    time.sleep(config["seed"] / 10)
note("done")
sys.exit(3 if config["seed"] == 9 else 0)
"""


def cells(folder: Path, *tenths: int) -> list[StudyCell]:
    study = {
        **HEADER,
        "base": {},
        "grid": {"network": {"net": {"model.network": "resnet8"}}},
        "presets": {"cpu": {"seeds": list(tenths)}},
    }
    (folder / "mine.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    return load(str(folder / "mine.yaml")).cells(runs=str(folder / "runs"))


def runner(folder: Path, jobs: int, *tenths: int) -> AtOnce:
    def command(configuration: Path) -> list[str]:
        return [sys.executable, "-c", PROGRAM, str(configuration), str(folder / "notes")]

    return AtOnce(cells(folder, *tenths), jobs, folder=folder / "runs", command=command)


def notes(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "notes").read_text().splitlines()]


def begun(folder: Path) -> dict[object, dict[str, object]]:
    return {each["seed"]: each for each in notes(folder) if each["what"] == "begun"}


def at_least(folder: Path, count: int) -> bool:
    return (folder / "notes").exists() and len(notes(folder)) >= count


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(at_once, "_LOOK_SECONDS", 0.02)


def test_a_cell_goes_to_the_gpu_that_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert at_once.sensible_jobs() == 2
    runner(tmp_path, 2, 1000, 1, 2, 3).run()
    assert {seed: each["CUDA_VISIBLE_DEVICES"] for seed, each in begun(tmp_path).items()} == {
        1000: "0",
        1: "1",
        2: "1",
        3: "1",
    }


def test_more_cells_at_once_than_gpus_share_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    runner(tmp_path, 4, 10, 11, 12, 13).run()
    assert sorted(str(each["CUDA_VISIBLE_DEVICES"]) for each in begun(tmp_path).values()) == ["4", "4", "7", "7"]


@pytest.mark.parametrize(("most", "jobs", "threads"), [(8, 2, "4"), (8, 3, "2"), (1, 2, "1")])
def test_cells_share_the_threads_that_the_user_allows(
    most: int, jobs: int, threads: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_once, "allowed", lambda: most)
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    runner(tmp_path, jobs, 0, 1).run()
    assert {(each["OMP_NUM_THREADS"], each["OMP_WAIT_POLICY"]) for each in notes(tmp_path)} == {(threads, "ACTIVE")}


@pytest.mark.slow
def test_the_demo_trains_its_networks_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, list[str], str | None]] = []

    def run_all(self: AtOnce) -> list[StudyCell]:
        seen.append((self._jobs, sorted(cell.label for cell in self._cells), os.environ.get("WANDB_MODE")))
        raise Interrupted("enough", signal=signal.SIGTERM)

    monkeypatch.setattr(at_once, "sensible_jobs", lambda: 2)
    monkeypatch.setattr(AtOnce, "run", run_all)
    monkeypatch.delenv("WANDB_MODE")
    assert run(["demo", "--runs", str(tmp_path / "runs")]) == 128 + signal.SIGTERM
    assert seen == [(2, ["plainnet110", "resnet110", "resnext110"], "disabled")]


def test_a_failure_is_told_and_the_others_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failed = runner(tmp_path, 1, 9, 0).run()
    assert [cell.seed for cell in failed] == [9]
    assert "net seed 9 (1/2): failed with exit status 3; the end of its log:" in capsys.readouterr().err
    assert set(begun(tmp_path)) == {9, 0}


@pytest.mark.parametrize("pause", [None, 0.05, 0.3])
def test_nothing_begins_after_one_or_two_ctrl_c(pause: float | None, tmp_path: Path) -> None:
    """The second Ctrl-C within a moment of the first is the same request: cells at hand save, the rest stays."""

    def press() -> None:
        while not at_least(tmp_path, 2):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        if pause is not None:
            time.sleep(pause)
            os.kill(os.getpid(), signal.SIGINT)

    hand = threading.Thread(target=press)
    hand.start()
    with pytest.raises(Interrupted) as reason:
        runner(tmp_path, 2, 600, 601, 602, 603).run()
    hand.join()
    assert reason.value.signal == signal.SIGINT
    time.sleep(0.2)
    assert sorted((each["seed"], each["what"]) for each in notes(tmp_path)) == [
        (600, "begun"),
        (600, "saved"),
        (601, "begun"),
        (601, "saved"),
    ]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_later_ctrl_c_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_once, "_SAME_SECONDS", 0.0)

    def press() -> None:
        while not at_least(tmp_path, 1):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.15)
        os.kill(os.getpid(), signal.SIGINT)

    hand = threading.Thread(target=press)
    hand.start()
    with pytest.raises(KeyboardInterrupt):
        runner(tmp_path, 1, 700, 701).run()
    hand.join()
    assert [each["what"] for each in notes(tmp_path)] == ["begun"]


def test_what_goes_wrong_here_leaves_no_process_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object) -> None:
        if at_least(tmp_path, 1):
            raise OSError("so it was")

    monkeypatch.setattr("repro.studies.saying.Lines.look", broken)
    with pytest.raises(OSError, match="so it was"):
        runner(tmp_path, 1, 600).run()
    assert [each["what"] for each in notes(tmp_path)] == ["begun", "saved"]


def test_a_bar_shows_the_steps_that_are_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from repro.config import to_yaml
    from repro.records import RunDirectory

    (cell,) = cells(tmp_path, 0)
    run = RunDirectory.prepare(tmp_path / "run", to_yaml(cell.config))
    run.append_metrics(7, 0, {})
    bar = Bar("net", cell, run)
    run.update_state(status="finished")  # the run before, which is begun anew
    bar.look()
    assert bar._bar.n == 0
    run.update_state(status="running")
    bar.look()
    assert (bar._bar.n, bar._bar.total) == (7, 320)
    bar.close()
    assert "net" in capsys.readouterr().err


def test_on_a_terminal_each_process_has_a_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    class Noted(Bar):
        def __init__(self, name: str, *rest: object) -> None:
            made.append(name)
            super().__init__(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(at_once, "Bar", Noted)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    runner(tmp_path, 2, 1, 0).run()
    assert made == ["net seed 1 (1/2)", "net seed 0 (2/2)"]
