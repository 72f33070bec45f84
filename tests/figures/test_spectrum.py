"""All singular values against depth and time."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from repro.figures import RunRecords, chosen, draw_one, to_svg
from repro.records.spectrum import COLUMNS
from repro.records.tables import READING_COLUMNS
from repro.report.words import heading


def records(label: str, by_step: dict[int, list[list[float]]], mode: str = "output") -> RunRecords:
    rows = [
        (step, step, "weights", layer, f"l{layer}", mode, np.array(values, np.float32))
        for step, layers in by_step.items()
        for layer, values in enumerate(layers, 1)
    ]
    bare = RunRecords.of_readings(label, pd.DataFrame(columns=READING_COLUMNS))
    return dataclasses.replace(bare, spectra=pd.DataFrame(rows, columns=COLUMNS))


def shown(figure: Figure) -> dict[str, np.ma.MaskedArray]:
    return {
        axes.get_title(loc="left"): axes.images[0].get_array() for axes in figure.axes if axes.get_title(loc="left")
    }


def test_a_row_a_network_and_a_column_a_time_of_values_over_the_largest() -> None:
    runs = [
        records("plainnet20", {0: [[4, 2], [3, 3, 3]], 9: [[8, 0], [math.nan] * 2]}),
        records("resnet20", {0: [[5, 1]]}),
        records("resnet20", {0: [[7, 7]]}),  # another seed: the first stands for both
    ]
    figure = draw_one("weights-spectra", runs)
    pictures = shown(figure)
    assert list(pictures) == ["PlainNet-20, step 0", "PlainNet-20, step 9", "ResNet-20, step 0"]
    assert np.unique(pictures["PlainNet-20, step 0"][:, 0]).tolist() == [0.5, 1]
    assert np.unique(pictures["PlainNet-20, step 0"][:, 1]).tolist() == [1]
    after = pictures["PlainNet-20, step 9"]
    assert after[0, 0] == 1
    assert after[-1, 0] < 2.0**-23, "under the scale: singular to float32"
    assert np.ma.getmaskarray(after)[:, 1].all(), "not finite"
    assert pictures["ResNet-20, step 0"][-1, 0] == np.float32(0.2)
    to_svg(figure)


def test_it_is_drawn_where_values_were_kept_and_of_a_few_of_many_times() -> None:
    bare = records("resnet20", {})
    assert chosen([bare]) == []
    long = records("resnet20", {step: [[2, 1]] for step in range(50)}, mode="input")
    assert chosen([bare, long]) == ["weights-spectra"]
    assert [name.split()[-1] for name in shown(draw_one("weights-spectra", [bare, long]))] == ["0", "16", "33", "49"]
    assert heading("weights-spectra") == "All singular values of the weights"
