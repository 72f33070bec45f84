"""All singular values of a run that trains, is stopped after it has measured, and goes on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from repro.config import Config, from_mapping
from repro.records import metrics, readings, spectra
from repro.records.spectrum import FILE
from repro.runs.start import start


def config(folder: Path, *, kept: bool) -> Config:
    mapping = {
        "model": {"network": "plainnet8", "width": 4},
        "data": {
            "name": "MNIST5k",
            "batch_size": 32,
            "train_size": 64,
            "test_size": 100,
            "evaluation_batch_size": 1000,
        },
        "trainer": {"max_epochs": 2, "progress": "none", "accelerator": "cpu", "keep_checkpoints": 9},
        "measure": {"measurements": ["weights", "representations", "operators"], "probe_size": 16, "spectra": kept},
    }
    return dataclasses.replace(from_mapping(mapping), runs=str(folder))


@pytest.mark.slow
def test_a_run_that_goes_on_has_each_spectrum_once_and_the_same(tmp_path: Path) -> None:
    run = start(config(tmp_path, kept=True)).run
    whole = spectra(run)
    assert sorted(whole["step"].unique()) == [0, 2, 4]
    lines = len((run.path / FILE).read_text().splitlines())
    assert lines == len(whole)
    run.saved_checkpoints()[-1].unlink()  # killed after the second epoch's measuring, before its checkpoint
    run.update_state(status="interrupted")
    start(config(tmp_path, kept=True))
    assert len((run.path / FILE).read_text().splitlines()) > lines, "measured again"
    again = spectra(run)
    key = ["step", "epoch", "measurement", "layer", "name", "mode"]
    assert again[key].equals(whole[key])
    for one, other in zip(whole["singular_values"], again["singular_values"], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    table = readings(run)
    largest = table[(table["quantity"] == "sigma_max") & (table["mode"] != "padded")].set_index(
        ["step", "measurement", "layer", "mode"]
    )
    for row in again.itertuples():
        value = largest.loc[(row.step, row.measurement, row.layer, row.mode), "value"]
        np.testing.assert_allclose(row.singular_values[0], value, rtol=1e-5)


@pytest.mark.slow
def test_keeping_them_is_no_other_run_and_changes_nothing(tmp_path: Path) -> None:
    one, other = (start(config(tmp_path / str(kept), kept=kept)).run for kept in (True, False))
    assert one.name == other.name
    assert not (other.path / FILE).exists()
    assert (
        metrics(one)
        .query("metric.str.startswith('step/')")
        .equals(metrics(other).query("metric.str.startswith('step/')"))
    )
    assert readings(one)["value"].equals(readings(other)["value"])
