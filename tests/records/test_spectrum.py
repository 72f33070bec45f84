"""The file of singular values, and what follows from them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from repro.records import RunDirectory, append_spectra, derived, keep, spectra
from repro.records.spectrum import FILE, effective_rank, pack, participation_ratio, stable_rank, unpack


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.prepare(tmp_path / "run", "seed: 0\ndata: {}\n")


def line(layer: int, values: list[float], mode: str = "output") -> dict[str, object]:
    values = np.array(values, np.float32)  # type: ignore[assignment]
    return {"measurement": "weights", "layer": layer, "name": f"l{layer}", "mode": mode, "singular_values": values}


@given(arrays(np.float32, st.integers(0, 40)))
def test_values_come_back_bit_for_bit(values: np.ndarray) -> None:
    found = unpack(pack(values))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.view(np.uint32), values.view(np.uint32))


def test_a_torn_line_is_left_out_and_a_repeated_one_wins(run: RunDirectory, tmp_path: Path) -> None:
    append_spectra(run, 0, 0, [line(1, [3, 1]), line(2, [2, 2])])
    append_spectra(run, 5, 1, [line(1, [4, 1])])
    with (run.path / FILE).open("a") as file:
        file.write('{"step": 6, "epoch": 1, "measurement": "weights", "lay')
    append_spectra(run, 5, 1, [line(1, [5, 1])])  # after a resume
    table = spectra(run)
    assert table[["step", "layer"]].to_numpy().tolist() == [[0, 1], [0, 2], [5, 1]]
    assert [values.tolist() for values in table["singular_values"]] == [[3, 1], [2, 2], [5, 1]]
    run.add_life({})
    keep(run, tmp_path / "kept")
    kept = spectra(RunDirectory(tmp_path / "kept"))
    assert kept.drop(columns="singular_values").equals(table.drop(columns="singular_values"))


def test_nothing_was_kept(run: RunDirectory) -> None:
    append_spectra(run, 0, 0, [])
    assert not (run.path / FILE).exists()
    assert spectra(run).empty
    assert derived(spectra(run)).empty


@pytest.mark.parametrize("count", [1, 7])
def test_equal_values_count_all_and_one_alone_counts_one(count: int) -> None:
    equal, alone = np.full(count, 3.0, np.float32), np.array([5.0] + [0.0] * (count - 1), np.float32)
    for quantity in (stable_rank, effective_rank, participation_ratio):
        assert quantity(equal) == pytest.approx(count)
        assert quantity(alone) == pytest.approx(1)


def test_quantities_by_their_formulas(run: RunDirectory) -> None:
    values = [4.0, 2.0, 1.0, 1e-5]
    append_spectra(run, 0, 0, [line(1, values), line(2, [math.nan] * 3), line(3, [0, 0]), line(4, [])])
    found = derived(spectra(run)).set_index("layer")
    shares = [value / sum(values) for value in values]
    assert found.loc[1, "stable_rank"] == pytest.approx(21 / 16)
    assert found.loc[1, "effective_rank"] == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares)), rel=1e-6)
    assert found.loc[1, "participation_ratio"] == pytest.approx(21**2 / (256 + 16 + 1))
    assert found.loc[1, ["condition_number", "rank"]].tolist() == pytest.approx([4e5, 4])
    loose = derived(spectra(run), tolerance=0.3).set_index("layer")
    assert loose.loc[1, ["condition_number", "rank"]].tolist() == [math.inf, 2]
    assert found.loc[[2, 4]].drop(columns=["step", "epoch", "measurement", "name", "mode"]).isna().all(axis=None)
    assert found.loc[3, ["condition_number", "rank", "stable_rank"]].tolist() == [math.inf, 0, 0]
