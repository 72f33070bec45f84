"""Condition numbers as a map of layer and time."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator

from repro.figures.asked import AnsweringFigure, Series, answers, places_of
from repro.figures.measured import KAPPA
from repro.figures.panels import finite_range
from repro.figures.placing import TITLE, legend_above, place_grid
from repro.figures.source import RunRecords, first_of_each
from repro.figures.style import HATCH, SINGULAR, looks, styled, title
from repro.figures.ticks import label_decades, label_evenly
from repro.measurements import MEASUREMENTS, kappa


def layer_time_map(runs: Sequence[RunRecords], measurement: str) -> Figure:
    """κ by layer (rows) and time of measurement (columns), one panel a label: of several seeds the first.

    Infinite values are hatched where they are perfectly singular, dotted where they are beyond float32; non-finite ones
    are crossed on grey.
    """
    of_layers = MEASUREMENTS[measurement].kappas[0]

    def measured(run: RunRecords) -> pd.DataFrame | None:
        table = run.of_layers(of_layers)
        table = table[table["layer"] >= 1]  # layer 0, the images, belongs to the data and not to the network
        return table if len(table) else None

    tables = first_of_each(runs, measured)
    low, high = finite_range(table["kappa"].to_numpy(float) for table in tables.values()) or (1.0, 10.0)
    norm = LogNorm(low, high)
    with styled():
        across = min(3, len(tables))
        rows = -(-len(tables) // across)
        figure = AnsweringFigure(figsize=(1.6 + 3.6 * max(2, across), 1.0 + 4.8 * rows))
        grid = figure.subplots(rows, across, sharey=True, squeeze=False)
        panels, unused = grid.flat[: len(tables)], grid.flat[len(tables) :]
        titles = {label: textwrap.wrap(title(label), 30) for label in tables}
        seen: set[str] = set()
        for axes, (label, table) in zip(panels, tables.items(), strict=True):
            seen |= _map(axes, table, norm)
            axes.set_title("\n".join(titles[label]), y=1)
            axes.set_xlabel("step (above), in epoch")
        for axes in grid[:, 0]:
            axes.set_ylabel("layer, from the input")
            label_evenly(axes.yaxis)
        entries = [Patch(**_EXCEPTIONS[kind]) for kind in _EXCEPTIONS if kind in seen]
        above = legend_above(figure, entries, len(entries), handlelength=2.2) if entries else 0.1
        titled = TITLE * max(map(len, titles.values()))
        covered = place_grid(figure, grid, above=above + titled, between=titled, right=1.15)
        for axes in unused:
            axes.remove()
        wide = figure.get_size_inches()[0]
        beside = figure.add_axes((covered.x1 + 0.2 / wide, covered.y0, 0.18 / wide, covered.height))
        bar = figure.colorbar(panels[0].images[0], cax=beside, label=KAPPA)
        label_decades(bar.ax.yaxis)
        bar.ax.yaxis.set_minor_locator(NullLocator())
        bar.outline.set_visible(False)
        asked = [
            (title(label), _series(axes, label, tables[label])) for axes, label in zip(panels, tables, strict=True)
        ]
        figure.answers = answers(figure, looks(tables), asked, reach=_REACH)
        return figure


def _series(axes: Axes, label: str, table: pd.DataFrame) -> list[Series]:
    """The cells of a network's map, a series a step."""
    found = []
    for column, (step, rows) in enumerate(table.groupby("step")):
        layers = rows["layer"].to_numpy(float)
        kinds = ["" if kind == kappa.FINITE else kind for kind in rows["kind"]]
        columns = {"layer": layers.tolist(), "name": rows["name"].tolist(), KAPPA: rows["kappa"].tolist()}
        columns |= {"kind": kinds} if any(kinds) else {}
        places = places_of(axes, np.full(len(rows), float(column)), layers)
        found.append(Series(label=label, when=f"step {step:,}", columns=columns, places=places))
    return found


_REACH = 100.0
"""Points: half a column of a map with few steps."""
_EXCEPTIONS: dict[str, dict[str, Any]] = {
    kappa.SINGULAR: {"facecolor": SINGULAR, "edgecolor": HATCH, "hatch": "////", "label": f"κ = ∞: {kappa.PERFECTLY}"},
    kappa.BEYOND: {"facecolor": "#f6dcec", "edgecolor": HATCH, "hatch": "..", "label": f"κ = ∞: {kappa.OVER}"},
    kappa.NON_FINITE: {"facecolor": "#cfcfcf", "edgecolor": HATCH, "hatch": "xxxx", "label": "non-finite entries"},
}


def _map(axes: Axes, table: pd.DataFrame, norm: LogNorm) -> set[str]:
    """One network's map; returns which exceptions it holds."""
    times = table[["step", "epoch"]].drop_duplicates("step").sort_values("step")
    steps, depth = times["step"].tolist(), int(table["layer"].max())
    grid = np.full((depth, len(steps)), -1.0)  # -1: not measured
    columns = table["step"].map({step: column for column, step in enumerate(steps)})
    grid[table["layer"] - 1, columns] = table["kappa"]
    finite = np.isfinite(grid) & (grid > 0)
    axes.imshow(
        np.ma.array(grid, mask=~finite),
        norm=norm,
        cmap="cividis",
        aspect="auto",
        origin="lower",
        interpolation="none",  # one pixel a cell in the SVG, drawn crisp
        extent=(-0.5, len(steps) - 0.5, 0.5, depth + 0.5),
    )
    axes.grid(visible=False)
    labels = [f"{step:,}\n{epoch:,}" for step, epoch in zip(steps, times["epoch"], strict=True)]
    fitting = min(8, int(3.3 / (0.12 + 0.085 * len(f"{steps[-1]:,}"))))  # 3.3 inches a panel
    shown = range(0, len(steps), -(-len(steps) // fitting))
    axes.set_xticks(list(shown), [labels[index] for index in shown])
    kinds = np.full(grid.shape, "", dtype=object)
    kinds[table["layer"] - 1, columns] = table["kind"]
    exceptions = {kind: kinds == kind for kind in _EXCEPTIONS}
    for kind, cells in exceptions.items():
        if cells.any():
            style = {**_EXCEPTIONS[kind], "label": None}
            axes.add_collection(PolyCollection(_blocks(cells), lw=0, antialiased=False, gid=kind, **style))
    return {kind for kind, cells in exceptions.items() if cells.any()}


def _blocks(cells: Bool[np.ndarray, "layers times"]) -> list[list[tuple[float, float]]]:
    """Rectangles that cover the cells which are set, as large as unbroken runs of layers and equal columns allow."""
    open_blocks: dict[tuple[float, float], int] = {}  # layers of a block that still grows: its first column
    blocks = []
    for column in range(cells.shape[1] + 1):
        of_column = cells[:, column] if column < cells.shape[1] else np.zeros(len(cells))
        edges = np.flatnonzero(np.diff(of_column.astype(int), prepend=0, append=0)) + 0.5
        spans = set(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
        for low, high in sorted(open_blocks.keys() - spans):
            left, right = open_blocks.pop((low, high)) - 0.5, column - 0.5
            blocks.append([(left, low), (right, low), (right, high), (left, high)])
        open_blocks |= dict.fromkeys(spans - open_blocks.keys(), column)
    return blocks
