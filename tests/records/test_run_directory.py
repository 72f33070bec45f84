from __future__ import annotations

import csv
import io
import json
import math
import os
from pathlib import Path

import pandas as pd
import pytest

from repro.errors import UserError
from repro.records import RunDirectory, append_lines, find_runs, metrics, readings, to_csv
from repro.records.environment import command_line, environment


def make(path: Path) -> RunDirectory:
    return RunDirectory.prepare(path, "seed: 0\n")


def reading(layer: int, value: float) -> dict[str, object]:
    values = {"condition_number": value, "rank": 3.0}
    return {"measurement": "weights", "layer": layer, "name": f"c{layer}", "mode": "output", "values": values}


def test_the_later_line_of_a_key_wins_and_others_stay(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    run.append_metrics(1, 0, {"loss": 3.0, "rate": 0.1})
    run.append_metrics(2, 0, {"loss": 2.0})
    run.append_metrics(2, 0, {"loss": 2.5})
    table = metrics(run)
    assert table.to_dict("list") == {
        "step": [1, 1, 2],
        "epoch": [0, 0, 0],
        "metric": ["loss", "rate", "loss"],
        "value": [3.0, 0.1, 2.5],
    }


def test_readings_come_back_with_infinities(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    run.append_readings(5, 1, [reading(1, math.inf), reading(2, math.nan)])
    run.append_readings(5, 1, [reading(1, 7.0)])
    table = readings(run)
    kappa = table[table["quantity"] == "condition_number"].set_index("layer")["value"]
    assert kappa[1] == 7.0
    assert math.isnan(kappa[2])
    assert '"inf"' in (run.path / "readings.jsonl").read_text()


def test_a_run_without_records_has_empty_tables(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    assert len(metrics(run)) == len(readings(run)) == 0


def test_preparing_twice_keeps_what_is_there(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    run.update_state(status="finished", final={"loss": math.inf})
    again = make(tmp_path / "run")
    assert again.state["final"] == {"loss": math.inf}
    assert again.ended


def test_something_else_is_not_taken_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1").write_text("")
    with pytest.raises(UserError, match="is not a run directory"):
        make(tmp_path / "thesis")
    with pytest.raises(UserError, match="has no config.yaml"):
        RunDirectory.open(tmp_path / "thesis")
    with pytest.raises(UserError, match="does not exist"):
        RunDirectory.open(tmp_path / "none")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write run directory"):
        make(tmp_path / "file" / "run")


def test_running_without_an_owner_means_killed(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    run.update_state(status="running")
    assert run.status == "killed"
    with run.lock():
        assert run.status == "running"


def test_checkpoints_are_ordered_and_the_newest_kept(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    for step in (100, 20, 3):
        (run.checkpoints / f"step-{step:08d}.ckpt").write_bytes(b"x" * step)
    (run.checkpoints / "step-99999999.ckpt").mkdir()
    assert run.delete_checkpoints(5) == 0
    assert run.delete_checkpoints(2) == 3
    assert [path.name for path in run.saved_checkpoints()] == ["step-00000020.ckpt", "step-00000100.ckpt"]


def test_setting_aside_overwrites_nothing(tmp_path: Path) -> None:
    for _ in range(3):
        make(tmp_path / "run").set_aside()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.1", "run.2", "run.3"]


def test_runs_are_found_at_and_below_a_path(tmp_path: Path) -> None:
    make(tmp_path / "study" / "b")
    make(tmp_path / "study" / "a")
    assert [run.name for run in find_runs([tmp_path, tmp_path / "study" / "a"])] == ["a", "b"]
    with pytest.raises(UserError, match="does not exist"):
        find_runs([tmp_path / "none"])


def test_no_secret_reaches_a_record(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "hush")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setattr("sys.argv", ["repro", "fit", "--api-key", "hush", "--token=hush", "--seed", "1"])
    assert command_line() == ["repro", "fit", "--api-key", "***", "--token=***", "--seed", "1"]
    run = make(tmp_path / "run")
    run.add_life(environment())
    run.add_life(environment())
    text = (run.path / "environment.json").read_text()
    assert "hush" not in text
    assert [life["slurm"]["SLURM_JOB_ID"] for life in json.loads(text)] == ["12", "12"]
    assert run.lives[0]["cores"] == os.cpu_count()


def test_readings_of_older_versions_whose_epochs_count_from_0_do_not_mix_with_new_ones(tmp_path):
    run = RunDirectory(tmp_path)
    line = {"measurement": "weights", "layer": 1, "name": "one", "mode": "output", "values": {"rank": 1.0}}
    older = [{"step": 0, "epoch": 0, **line}, {"step": 4, "epoch": 0, **line}, {"step": 8, "epoch": 1, **line}]
    (tmp_path / "readings.jsonl").write_text("".join(json.dumps(each) + "\n" for each in older))
    run.append_readings(12, 3, [line])
    frame = readings(run)
    assert list(zip(frame["step"], frame["epoch"], strict=True)) == [(0, 0), (4, 1), (8, 2), (12, 3)]


@pytest.mark.parametrize("name", ["metrics.jsonl", "readings.jsonl", "checkpoints", "features-0.npy", "wandb"])
def test_where_a_link_leads_nothing_is_changed(name: str, tmp_path: Path) -> None:
    run, mine = make(tmp_path / "run"), tmp_path / "mine"
    mine.mkdir()
    (mine / "step-00000001.ckpt").write_text("mine")
    (mine / "a.txt").write_text("mine")
    if name == "checkpoints":
        run.checkpoints.rmdir()
    (run.path / name).symlink_to(mine if name in ("checkpoints", "wandb") else mine / "a.txt")
    with pytest.raises(UserError, match=f"{name}' is a link, and nothing is changed where it leads"), run.lock():
        raise AssertionError("it is locked")
    if name.endswith("jsonl"):
        with pytest.raises(UserError, match="is a link"):
            append_lines(run.path / name, [{"step": 1}])
    (tmp_path / "linked").symlink_to(tmp_path / "run")
    (run.path / name).unlink()
    with RunDirectory(tmp_path / "linked").lock():  # a run as a whole may be one
        pass
    assert (mine / "a.txt").read_text() == (mine / "step-00000001.ckpt").read_text() == "mine"


def test_no_name_is_a_formula_or_breaks_a_row_of_a_csv_file() -> None:
    cells = ["=1+1", "\r=1", "a\rb", 'x\ny"z,', "\t=1", "plain"]
    text = to_csv(pd.DataFrame({"=a": cells, "b": -1}))
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert len(rows) == 1 + len(cells)
    assert {row[1] for row in rows[1:]} == {"-1"}
    assert not any(cell.startswith(("=", "\r", "\t")) for row in rows for cell in row)
