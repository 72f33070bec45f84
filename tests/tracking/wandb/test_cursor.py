from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from repro.records import RunDirectory
from repro.tracking.wandb_cursor import Cursor, Position, Row, rows


def reading(measurement: str, layer: int = 1) -> dict[str, Any]:
    return {
        "measurement": measurement,
        "layer": layer,
        "name": f"c{layer}",
        "mode": "output",
        "values": {"condition_number": 2.0, "rank": 3.0},
    }


def record(path: Path) -> RunDirectory:
    """Two epochs of two steps; the batch after an epoch's end is recorded at the same step."""
    run = RunDirectory.prepare(path, "seed: 0\n")
    run.append_readings(0, 0, [reading("weights"), reading("weights", 2), reading("representations")])
    run.append_metrics(0, 0, {"step/loss": 3.0, "rate": 0.1})
    run.append_metrics(1, 0, {"step/loss": 2.0, "rate": 0.1})
    run.append_metrics(2, 0, {"test/accuracy": 0.5})
    run.append_readings(2, 0, [reading("weights")])
    run.append_metrics(2, 0, {"train/accuracy": 0.6})
    run.append_metrics(2, 1, {"step/loss": 1.0, "rate": 0.1})
    run.append_metrics(3, 1, {"step/loss": 0.5, "rate": 0.1})
    return run


def content(found: list[Row]) -> list[tuple[int, str]]:
    return [(row.step, name) for row in found for name in (*row.metrics, *row.measurements)]


def sent(cursor: Cursor, found: list[Row]) -> list[Row]:
    return [new for row in found if (new := cursor.advance(row)) is not None]


def test_rows_are_the_record_step_by_step(tmp_path: Path) -> None:
    found = list(rows(record(tmp_path / "run")))
    assert [row.step for row in found] == [0, 1, 2, 3]
    assert found[0].measurements == ["weights", "representations"]
    assert list(found[2].metrics) == ["test/accuracy", "train/accuracy", "step/loss", "rate"]
    assert found[2].epoch == 1


def test_what_a_killed_run_repeats_is_not_new(tmp_path: Path) -> None:
    run = record(tmp_path / "run")
    once, cursor = list(rows(run)), Cursor(Position())
    assert content(sent(cursor, once)) == content(once)
    run.append_metrics(2, 0, {"train/accuracy": 0.6})
    run.append_metrics(3, 1, {"step/loss": 0.5, "rate": 0.1})
    assert sent(cursor, list(rows(run))) == []
    assert cursor.advance(Row(step=2, epoch=0, metrics={"late": 1.0})) is None  # steps never go back


@pytest.mark.parametrize("stop", range(9))
def test_from_any_position_the_rest_is_sent_once_in_the_order_of_recording(tmp_path: Path, stop: int) -> None:
    whole = list(rows(record(tmp_path / "run")))
    # As a run sends it while it trains: in pieces.
    pieces = [
        Row(step=0, epoch=0, metrics={}, readings=whole[0].readings),
        Row(step=0, epoch=0, metrics=whole[0].metrics),
        Row(step=1, epoch=0, metrics=whole[1].metrics),
        Row(step=2, epoch=0, metrics={"test/accuracy": 0.5}),
        Row(step=2, epoch=0, metrics={}, readings=whole[2].readings),
        Row(step=2, epoch=0, metrics={"train/accuracy": 0.6}),
        Row(step=2, epoch=1, metrics={"step/loss": 1.0, "rate": 0.1}),
        Row(step=3, epoch=1, metrics={"step/loss": 0.5, "rate": 0.1}),
    ]
    live = Cursor(Position())
    before = sent(live, pieces[:stop])
    summary = live.position.columns() if stop else None
    after = sent(Cursor(Position.of_summary(summary)), whole)
    assert sorted(content(before) + content(after)) == sorted(content(whole))


def test_a_live_run_goes_on_at_the_step_where_it_was_interrupted(tmp_path: Path) -> None:
    cursor = Cursor(Position(step=2, metrics=1, measurements=0))
    assert cursor.advance(Row(step=1, epoch=0, metrics={"step/loss": 2.0})) is None
    assert cursor.advance(Row(step=2, epoch=0, metrics={"test/accuracy": 0.5})) is None
    new = cursor.advance(Row(step=2, epoch=0, metrics={"train/accuracy": 0.6}))
    assert new is not None
    assert new.metrics == {"train/accuracy": 0.6}
    assert cursor.position == Position(step=2, metrics=2, measurements=0)
