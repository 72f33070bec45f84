from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import repro
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


def _by_construction(rows: int = 512, columns: int = 128) -> dict[str, torch.Tensor]:
    """Matrices in float32 whose kind is known."""
    generator = torch.Generator().manual_seed(0)
    full = torch.randn(rows, columns, generator=generator)
    dead, twin, doubled = full.clone(), full.clone(), full.clone()
    dead[:, 7] = 0
    twin[:, 7] = twin[:, 8]
    doubled[:, 7] = 2 * doubled[:, 8]  # a power of two is exact
    # Rank 127 in exact arithmetic; rounding to float32 fills the direction that was empty with some 1e-8 of σmax.
    low = torch.randn(rows, columns - 1, generator=generator, dtype=torch.float64)
    mixed = torch.randn(columns - 1, columns, generator=generator, dtype=torch.float64)
    tiny = torch.eye(columns)
    tiny[0, 0] = 1e-13
    small = torch.eye(columns)
    small[0, 0] = 1e-8
    return {
        "full": full,
        "dead": dead,
        "twin": twin,
        "doubled": doubled,
        "rounded": (low @ mixed).float(),
        "tiny": tiny,
        "small": small,
        "zero": torch.zeros(rows, columns),
        "broken": torch.full((rows, columns), math.nan),
    }


KINDS = {
    "full": kappa.FINITE,
    "dead": kappa.SINGULAR,
    "twin": kappa.SINGULAR,
    "doubled": kappa.SINGULAR,
    "rounded": kappa.BEYOND,
    "tiny": kappa.SINGULAR,
    "small": kappa.BEYOND,
    "zero": kappa.SINGULAR,
    "broken": kappa.NON_FINITE,
}


@pytest.mark.parametrize("rows", [512, 16_384])
def test_the_kind_of_matrices_by_construction(rows: int) -> None:
    for name, matrix in _by_construction(rows).items():
        layer = nn.Linear(*reversed(matrix.shape))
        layer.weight = nn.Parameter(matrix)
        frame = repro.measure(layer, torch.zeros(2, matrix.shape[1]), measurements=["weights"])
        found = frame[frame["quantity"] == "condition_number"]["kind"]
        assert set(found) == {KINDS[name]}, name
        assert set(frame[frame["quantity"] != "condition_number"]["kind"]) == {""}
        if KINDS[name] in (kappa.SINGULAR, kappa.BEYOND):
            assert (frame[frame["quantity"] == "condition_number"]["value"] == math.inf).all()
            exact = np.linalg.svd(matrix.double().numpy(), compute_uv=False)
            assert (exact[-1] <= 1e-12 * exact[0]) == (KINDS[name] == kappa.SINGULAR), "as LAPACK says"


def test_the_kinds_are_counted_apart_and_the_mode_that_stands_for_a_layer_is_the_worse(run: RunDirectory) -> None:
    def of(layer: int, mode: str, value: float, sigma_min: float) -> dict[str, Any]:
        reading = line("weights", layer, mode, value)
        return {**reading, "values": {**reading["values"], "sigma_min": sigma_min}}

    run.append_readings(
        3,
        1,
        [
            of(1, "output", math.inf, 1e-9),
            of(1, "input", math.inf, 0.0),
            of(2, "output", math.inf, 1e-9),
            of(2, "input", 5.0, 0.2),
            of(3, "output", 4.0, 0.25),
            of(3, "height", math.inf, 0.0),
        ],
    )
    weights = MEASUREMENTS["weights"].kappas[0]
    table = readings(run)
    assert weights.table(table)["kind"].tolist() == [kappa.SINGULAR, kappa.BEYOND, kappa.FINITE]
    found = weights.quantities.values(table)
    assert [found[f"weights_{name}"] for name in ("infinite", "singular", "beyond_float32")] == [2, 1, 1]


def test_rows_are_told_by_their_place_whatever_the_index_says() -> None:
    one = repro.measure(nn.Linear(3, 2), torch.zeros(2, 3), measurements=["weights"])
    other = one.assign(value=one["value"].where(one["quantity"] != "condition_number", math.inf))
    other.loc[other["quantity"] == "sigma_min", "value"] = 0.0
    both = pd.concat([one.assign(step=0), other.assign(step=1)])  # every label of the index twice
    kinds = kappa.kind(both)
    of_kappa = both["quantity"] == "condition_number"
    assert kinds[of_kappa].tolist() == [kappa.FINITE] * 2 + [kappa.SINGULAR] * 2
