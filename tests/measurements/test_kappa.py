from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from repro.measurements import MEASUREMENTS, kappa
from repro.records import RunDirectory, readings


def line(measurement: str, layer: int, mode: str, condition: float, sigma_max: float = 1.0) -> dict[str, Any]:
    values = {"condition_number": condition, "sigma_max": sigma_max, "sigma_min": 1.0, "rank": 1.0}
    return {"measurement": measurement, "layer": layer, "name": f"layer{layer}", "mode": mode, "values": values}


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.prepare(tmp_path / "run", "seed: 0\n")


@pytest.mark.parametrize(
    ("output", "given", "expected"),
    [
        (3.0, 5.0, 5.0),
        (5.0, 3.0, 5.0),
        (5.0, math.inf, math.inf),
        (math.nan, math.inf, math.nan),
        (2.0, math.nan, math.nan),
    ],
)
def test_a_weights_kappa_is_the_largest_over_its_channel_modes(
    run: RunDirectory, output: float, given: float, expected: float
) -> None:
    modes = {"height": 1e9, "output": output, "input": given, "width": math.nan}
    run.append_readings(7, 2, [line("weights", 1, mode, value) for mode, value in modes.items()])
    found = MEASUREMENTS["weights"].kappas[0].table(readings(run))
    assert found[["step", "epoch", "layer", "name"]].to_numpy().tolist() == [[7, 2, 1, "layer1"]]
    assert found["kappa"].tolist() == pytest.approx([expected], nan_ok=True)


def test_a_representations_kappa_is_the_channel_modes_with_the_matrix_beside_it(run: RunDirectory) -> None:
    run.append_readings(
        0,
        0,
        [
            line("representations", 1, mode, value)
            for mode, value in {"matrix": 40.0, "channel": 4.0, "height": 400.0}.items()
        ],
    )
    run.append_readings(0, 0, [line("representations", 2, "matrix", 7.0)])  # flat: it has no channel mode
    table = readings(run)
    channel, matrix = MEASUREMENTS["representations"].kappas
    assert channel.table(table)["kappa"].tolist() == [4.0, 7.0]
    assert matrix.table(table)["kappa"].tolist() == [40.0, 7.0]
    assert MEASUREMENTS["weights"].kappas[0].table(table).empty


def test_rows_are_sorted_and_a_repeated_line_wins(run: RunDirectory) -> None:
    run.append_readings(5, 1, [line("weights", 2, "output", 20.0), line("weights", 1, "output", 10.0)])
    run.append_readings(0, 0, [line("weights", 1, "output", 1.0)])
    run.append_readings(5, 1, [line("weights", 1, "output", 11.0)])  # after a resume
    found = MEASUREMENTS["weights"].kappas[0].table(readings(run))
    assert found[["step", "layer", "kappa"]].to_numpy().tolist() == [[0, 1, 1.0], [5, 1, 11.0], [5, 2, 20.0]]


def test_growth_compares_the_last_measurement_with_step_0(run: RunDirectory) -> None:
    assert kappa.first_layer_growth(readings(run)) is None
    run.append_readings(
        0,
        0,
        [
            line("weights", 1, "output", 1, 0.5),
            line("weights", 1, "input", 1, 0.25),
            line("weights", 2, "output", 1, 9.0),
        ],
    )
    assert kappa.first_layer_growth(readings(run)) is None
    run.append_readings(3, 0, [line("weights", 1, "output", 1, 5.0)])
    run.append_readings(9, 1, [line("weights", 1, "output", 1, 50.0), line("weights", 1, "height", 1, 500.0)])
    assert kappa.first_layer_growth(readings(run)) == 100.0
    run.append_readings(10, 1, [line("weights", 1, "output", 1, math.nan)])
    assert math.isnan(kappa.first_layer_growth(readings(run)) or 0)


def test_growth_needs_a_measurement_before_training(run: RunDirectory) -> None:
    for step in (3, 9):
        run.append_readings(step, 0, [line("weights", 1, "output", 1, 5.0)])
    assert kappa.first_layer_growth(readings(run)) is None
