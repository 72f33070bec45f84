"""All singular values of every layer against depth, at several times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import NullLocator

from repro.figures.source import Drawing, RunRecords, first_of_each
from repro.figures.style import SINGULAR, freeze_layout, styled, title
from repro.figures.ticks import label_decades, label_evenly
from repro.measurements import MEASUREMENTS

_ROWS = 64
_FLOOR = 2.0**-23


def has_spectra(runs: Sequence[RunRecords], measurement: str) -> bool:
    """Whether any of the runs has kept singular values of a measurement's layers."""
    return any(bool(_of(run.spectra, measurement)["layer"].ge(1).any()) for run in runs)


def of_runs(runs: Sequence[RunRecords], measurement: str) -> Figure:
    """`spectrum` of the first run of each label, in the first of the modes that stand for a layer."""
    first = first_of_each(runs, lambda run: run.spectra if has_spectra([run], measurement) else None)
    there = {mode for table in first.values() for mode in _of(table, measurement)["mode"]}
    mode = next((mode for mode in MEASUREMENTS[measurement].kappas[0].modes if mode in there), min(there))
    return spectrum(first, measurement, mode)


@styled()
def spectrum(spectra: Mapping[str, pd.DataFrame], measurement: str, mode: str, *, times: int = 4) -> Figure:
    """σ over the layer's largest as colour: layers to the right, their singular values downwards; a row a run.

    Takes by name what `repro.records.spectra` returns of runs. Of the measured steps at most `times` are shown, evenly
    spaced, the first and the last among them.
    """
    tables = {label: _of(table, measurement, mode) for label, table in spectra.items()}
    shown = {label: _some(sorted(set(table["step"].tolist())), times) for label, table in tables.items()}
    across = max(map(len, shown.values()))
    figure = Figure(figsize=(1.8 + 3.4 * max(across, 2), 0.6 + 3.8 * len(tables)), layout="constrained")
    grid = figure.subplots(len(tables), across, sharey=True, squeeze=False)
    for row, (label, table) in zip(grid, tables.items(), strict=True):
        for axes, step in zip(row, shown[label], strict=False):
            image = _draw(axes, table[table["step"] == step].sort_values("layer"))
            axes.set_title(f"{title(label)}, step {step:,}")
        for axes in row[len(shown[label]) :]:
            axes.remove()
        row[0].set_ylabel("place of σ among the layer's\n(0: the largest, 1: the smallest)")
    figure.suptitle(", ".join(filter(None, [measurement, mode])))
    bar = figure.colorbar(image, ax=list(figure.axes), label="σ / σmax", extend="min")
    label_decades(bar.ax.yaxis)
    bar.ax.yaxis.set_minor_locator(NullLocator())
    return freeze_layout(figure)


def _of(spectra: pd.DataFrame, measurement: str, mode: str | None = None) -> pd.DataFrame:
    rows = spectra[(spectra["measurement"] == measurement) & (spectra["layer"] >= 1)]
    return rows if mode is None else rows[rows["mode"] == mode]


def _some(steps: Sequence[int], count: int) -> list[int]:
    return [steps[round(index)] for index in np.linspace(0, len(steps) - 1, min(count, len(steps)))]


def _draw(axes: Axes, table: pd.DataFrame) -> AxesImage:
    columns = [_column(values) for values in table["singular_values"]]
    axes.set_xlabel("layer, from the input")
    label_evenly(axes.xaxis, 5)
    axes.grid(visible=False)
    return axes.imshow(
        np.ma.masked_invalid(np.stack(columns, axis=1)),
        norm=LogNorm(_FLOOR, 1.0),
        cmap=colormaps["cividis"].with_extremes(under=SINGULAR),
        aspect="auto",
        interpolation="none",
        extent=(0.5, len(columns) + 0.5, 1.0, 0.0),
    )


def _column(values: Float[np.ndarray, " values"]) -> Float[np.ndarray, " rows"]:
    """At so many places from the largest on; under the scale where it is singular to float32, NaN if not finite."""
    if not len(values):
        return np.full(_ROWS, np.nan)
    places = np.linspace(0, len(values) - 1, _ROWS).round().astype(int)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.maximum(values[places] / values[0], _FLOOR / 2))


_WORDS = {"weights": "weights", "representations": "representation of the fixed probe"}
SPECTRA = {
    f"{measurement}-spectra": Drawing(
        heading=f"All singular values of the {measurement}",
        caption=f"""Singular values of every layer's {words}, divided by the layer's largest, as colour. Each column
        is a layer, with its largest singular value at the top. The panels are the first measurement, the last, and
        some between them. Pink values are below float32's precision (1.2e-7).""",
        suffices=partial(has_spectra, measurement=measurement),
        draw=partial(of_runs, measurement=measurement),
    )
    for measurement, words in _WORDS.items()
}
"""By name, of the measurements whose singular values are drawn (`repro.figures.source.DRAWN`)."""
