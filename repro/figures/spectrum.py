"""All singular values of every layer against depth, at several times."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from repro.figures.panels import label_decades, whole
from repro.figures.style import SINGULAR, freeze_layout, styled, title

_ROWS = 64
_FLOOR = 2.0**-23


def spectrum(label: str, spectra: pd.DataFrame, measurement: str, mode: str, *, times: int = 4) -> Figure:
    """σ over the layer's largest as colour: layers to the right, their singular values downwards.

    Args:
        label: What the run is called.
        spectra: As `repro.records.spectra` returns them.
        measurement: Of which of them.
        mode: In which mode.
        times: How many of the measured steps at most, evenly spaced, the first and the last among them.
    """
    table = spectra[(spectra["measurement"] == measurement) & (spectra["mode"] == mode) & (spectra["layer"] >= 1)]
    steps = sorted(table["step"].unique())
    shown = [steps[round(index)] for index in np.linspace(0, len(steps) - 1, min(times, len(steps)))]
    with styled():
        figure = Figure(figsize=(1.8 + 3.4 * max(len(shown), 2), 4.4), layout="constrained")
        grid = figure.subplots(1, len(shown), sharey=True, squeeze=False)
        for axes, step in zip(grid[0], shown, strict=True):
            of_step = table[table["step"] == step].sort_values("layer")
            columns = [_column(values) for values in of_step["singular_values"]]
            image = axes.imshow(
                np.ma.masked_invalid(np.stack(columns, axis=1)),
                norm=LogNorm(_FLOOR, 1.0),
                cmap=colormaps["cividis"].with_extremes(under=SINGULAR),
                aspect="auto",
                interpolation="none",
                extent=(0.5, len(columns) + 0.5, 1.0, 0.0),
            )
            axes.set_title(f"step {step:,}")
            axes.set_xlabel("layer, from the input")
            axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))
            axes.xaxis.set_major_formatter(FuncFormatter(whole))
            axes.grid(visible=False)
        grid[0][0].set_ylabel("place of σ among the layer's\n(0: the largest, 1: the smallest)")
        figure.suptitle(f"{title(label)}: {measurement}, {mode}" if mode else f"{title(label)}: {measurement}")
        bar = figure.colorbar(image, ax=grid[0].tolist(), label="σ / σmax", extend="min")
        label_decades(bar.ax.yaxis, bar.ax.get_ylim())
        bar.ax.yaxis.set_minor_locator(NullLocator())
        return freeze_layout(figure)


def _column(values: Float[np.ndarray, " values"]) -> Float[np.ndarray, " rows"]:
    """At so many places from the largest on; under the scale where it is singular to float32, NaN if not finite."""
    places = np.linspace(0, len(values) - 1, _ROWS).round().astype(int)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.maximum(values[places] / values[0], _FLOOR / 2))
