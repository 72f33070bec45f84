"""Condition numbers against layer (Oyedotun Fig. 7 to 13), and as a map of layer and time."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
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

from repro.figures import kappa
from repro.figures.panels import Panel, Trace, draw_panels, finite_range, label_decades, note_line
from repro.figures.placing import TITLE, legend_above, place_grid
from repro.figures.source import RunRecords
from repro.figures.style import HATCH, SINGULAR, looks, styled, title

_KAPPA = "condition number κ"


def has_readings(runs: Sequence[RunRecords], measurement: str) -> bool:
    """Whether any of the runs measured this."""
    return any(kappa.has(run.readings, measurement) for run in runs)


def _layers(run: RunRecords, measurement: str, form: str = "headline") -> pd.DataFrame:
    """Quoted κ of layers 1 to L; layer 0, the input images, belongs to the data and not to the network."""
    table = kappa.headline_kappa(run.readings, measurement, form=form)
    return table[table["layer"] >= 1]


def _against_layer(runs: Sequence[RunRecords], measurement: str, form: str) -> list[Trace]:
    """A faint trace before training and a full one at the last measurement, for each run."""
    traces = []
    for run in runs:
        table = _layers(run, measurement, form)
        if not len(table):
            continue
        last = table["step"].max()
        for step, kind in ((0, "faint"), (last, "line")):
            rows = table[table["step"] == step]
            if len(rows) and (kind == "line" or last > 0):
                x, y = rows["layer"].to_numpy(float), rows["kappa"].to_numpy(float)
                traces.append(Trace(label=run.label, x=x, y=y, kind=kind))  # type: ignore[arg-type]
    return traces


def when() -> list[Any]:
    """Legend entries for the traces before and after training."""
    return [
        note_line("thin: untrained", lw=0.9, alpha=0.7),
        note_line("thick: trained", lw=1.8),
    ]


def weights(runs: Sequence[RunRecords]) -> Figure:
    """κ of every weight layer against depth, before training and at the end (Oyedotun Fig. 7, 8, 10, 12)."""
    panel = Panel(
        title="Weights",
        x="weight layer, from the input",
        y=_KAPPA,
        traces=_against_layer(runs, "weights", "headline"),
    )
    with styled():
        return draw_panels([panel], looks(run.label for run in runs), size=(8.5, 4.8), notes=when())


def gradients(runs: Sequence[RunRecords]) -> Figure:
    """κ of every layer's weight gradient and of its update, against depth (Oyedotun Eq. 24, Remarks 4 to 6)."""
    named = {"gradients": "Gradients of the weights", "updates": "Updates of the weights"}
    return _side_by_side(
        runs, {name: _against_layer(runs, each, "headline") for each, name in named.items() if has_readings(runs, each)}
    )


def representations(runs: Sequence[RunRecords]) -> Figure:
    """κ of every representation against depth: channel mode (Oyedotun Fig. 9, 11, 13) and Definition 2's matrix."""
    return _by_form(runs, "representations", "Representations")


def outputs(runs: Sequence[RunRecords]) -> Figure:
    """κ of every layer's output before normalisation, against depth."""
    return _by_form(runs, "outputs", "Outputs before normalisation")


def errors(runs: Sequence[RunRecords]) -> Figure:
    """κ of the error gradient of every representation, against depth (Oyedotun Eq. 23)."""
    return _by_form(runs, "errors", "Error gradients")


def _by_form(runs: Sequence[RunRecords], measurement: str, name: str) -> Figure:
    forms = {"headline": "channel mode", "matrix": "matrix (n × N)"}
    return _side_by_side(
        runs, {f"{name}, {words}": _against_layer(runs, measurement, form) for form, words in forms.items()}
    )


def _side_by_side(runs: Sequence[RunRecords], titled: Mapping[str, list[Trace]]) -> Figure:
    """Panels of κ against layer on one scale."""
    limits = finite_range(trace.y for traces in titled.values() for trace in traces)
    panels = [
        Panel(
            title=name,
            x="layer, from the input",
            y=_KAPPA,
            traces=traces,
            y_limits=(limits[0] / 1.6, limits[1] * 1.6) if limits else None,
        )
        for name, traces in titled.items()
    ]
    with styled():
        return draw_panels(
            panels, looks(run.label for run in runs), size=(5.75 * max(len(panels), 1.5), 5.0), notes=when()
        )


def layer_time_map(runs: Sequence[RunRecords], measurement: str, *, form: str = "headline") -> Figure:
    """κ by layer (rows) and time of measurement (columns), one panel a label: of several seeds the first.

    Infinite values are hatched in a colour of their own, non-finite ones crossed on grey.
    """
    first = {run.label: run for run in reversed(runs) if len(_layers(run, measurement, form))}
    tables = {
        label: _layers(first[label], measurement, form)
        for label in dict.fromkeys(run.label for run in runs)
        if label in first
    }
    low, high = finite_range(table["kappa"].to_numpy(float) for table in tables.values()) or (1.0, 10.0)
    norm = LogNorm(low, high)
    with styled():
        across = min(3, len(tables))
        rows = -(-len(tables) // across)
        figure = Figure(figsize=(1.6 + 3.6 * max(2, across), 1.0 + 4.8 * rows))
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
        entries = [Patch(**_EXCEPTIONS[kind]) for kind in _EXCEPTIONS if kind in seen]
        above = legend_above(figure, entries, len(entries), handlelength=2.2) if entries else 0.1
        titled = TITLE * max(map(len, titles.values()))
        covered = place_grid(figure, grid, above=above + titled, between=titled, right=1.15)
        for axes in unused:
            axes.remove()
        wide = figure.get_size_inches()[0]
        beside = figure.add_axes((covered.x1 + 0.2 / wide, covered.y0, 0.18 / wide, covered.height))
        bar = figure.colorbar(panels[0].images[0], cax=beside, label=_KAPPA)
        label_decades(bar.ax.yaxis, bar.ax.get_ylim())
        bar.ax.yaxis.set_minor_locator(NullLocator())
        bar.outline.set_visible(False)
        return figure


_EXCEPTIONS: dict[str, dict[str, Any]] = {
    "infinite": {"facecolor": SINGULAR, "edgecolor": HATCH, "hatch": "////", "label": "κ = ∞ (singular to float32)"},
    "non-finite": {"facecolor": "#cfcfcf", "edgecolor": HATCH, "hatch": "xxxx", "label": "non-finite entries"},
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
    axes.set_xticks(list(shown), [labels[each] for each in shown])
    exceptions = {"infinite": np.isinf(grid), "non-finite": np.isnan(grid)}
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
