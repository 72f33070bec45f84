"""Distributions of activations, outputs, weights and gradients over training (Oyedotun Fig. 4, 5, 6)."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from repro.figures.asked import AnsweringFigure, Series, answers, places_of
from repro.figures.source import RunRecords, first_of_each
from repro.figures.style import INK, MUTED, SINGULAR, freeze_layout, looks, styled, title
from repro.figures.ticks import label_evenly, number
from repro.measurements.kinds.distributions import KINDS

_WORDS = {
    "p0": "smallest",
    "p5": "5 %",
    "p25": "25 %",
    "p50": "median",
    "p75": "75 %",
    "p95": "95 %",
    "p100": "largest",
}
_BANDS = (("p0.1", "p99.9", 0.18), ("p5", "p95", 0.32), ("p25", "p75", 0.6))


def _table(run: RunRecords, kind: str) -> pd.DataFrame | None:
    """One row a layer and step, one column a quantity; None if there is no row."""
    rows = run.readings
    rows = rows[(rows["measurement"] == "distributions") & (rows["mode"] == kind)]
    wide = rows.pivot_table(index=["layer", "step"], columns="quantity", values="value", aggfunc="last", observed=True)
    return wide if len(wide) else None


def over_time(runs: Sequence[RunRecords], kind: str) -> Figure:
    """Percentiles of a kind in `KINDS` against step: a column a network (its first seed), a row a chosen layer."""
    tables = first_of_each(runs, lambda run: _table(run, kind))
    cells = {label: table.index.unique("layer").sort_values().tolist() for label, table in tables.items()}
    across = min(3, len(cells))
    depth = max(len(layers) for layers in cells.values())
    blocks = -(-len(cells) // across)
    threshold = _threshold(tables.values())
    look = looks(run.label for run in runs)
    with styled():
        figure = AnsweringFigure(
            figsize=(1.2 + 3.7 * max(across, 1.6), 1.1 + 2.7 * depth * blocks), layout="constrained"
        )
        grid = figure.subplots(depth * blocks, across, squeeze=False, sharey="row")
        for axes in grid.flat:
            axes.set_axis_off()
        places: dict[tuple[str, Any], Axes] = {}
        for number, (label, layers) in enumerate(cells.items()):
            block, column = divmod(number, across)
            for row, layer in enumerate(layers):
                axes = grid[block * depth + row, column]
                axes.set_axis_on()
                places[label, layer] = axes
                _cell(axes, tables[label].loc[layer], look[label].color, threshold)
                axes.set_title("\n".join([*textwrap.wrap(title(label), 30), f"layer {layer}"]))
                if row == len(layers) - 1:
                    axes.set_xlabel("step")
                if column == 0:
                    axes.set_ylabel(KINDS[kind])
        columns = 6 if across > 2 else 3
        legend = _legend(broken=any(_broken(table).any() for table in tables.values()))
        entries = [handle for column in range(columns) for handle in legend[column::columns]]  # reads row by row
        figure.legend(handles=entries, loc="outside upper left", ncols=columns, handlelength=1.8, columnspacing=1.2)
        freeze_layout(figure)
        asked = [
            (f"{title(label)}, layer {layer}", [_series(axes, label, tables[label].loc[layer])])
            for (label, layer), axes in places.items()
            if "p50" in tables[label]
        ]
        figure.answers = answers(figure, {label: look[label] for label in tables}, asked)
        return figure


def _series(axes: Axes, label: str, table: pd.DataFrame) -> Series:
    """A layer's medians, with what lies around them."""
    rows = table.dropna(subset=["p50"])
    steps = rows.index.to_numpy(float)
    columns = {"step": steps.tolist()} | {word: rows[name].tolist() for name, word in _WORDS.items() if name in rows}
    return Series(label=label, when="", columns=columns, places=places_of(axes, steps, rows["p50"].to_numpy(float)))


def _threshold(tables: Iterable[pd.DataFrame]) -> float:
    """Where the symmetric logarithmic scale turns linear: a tenth of the narrowest middle half, as a power of ten."""
    spreads = [table["p75"] - table["p25"] for table in tables if "p75" in table]
    values = np.concatenate([spread.to_numpy(float) for spread in spreads]) if spreads else np.zeros(0)
    values = values[np.isfinite(values) & (values > 0)]
    return 10.0 ** math.floor(math.log10(max(float(values.min()) / 2, 1e-12))) if len(values) else 1e-3


def _cell(axes: Axes, table: pd.DataFrame, color: str, threshold: float) -> None:
    steps = table.index.to_numpy(float)
    if "p50" in table:
        for low, high, alpha in _BANDS:
            axes.fill_between(steps, table[low], table[high], color=color, alpha=alpha, lw=0)
        axes.plot(steps, table["p50"], color=INK, lw=1.3)
        for extreme in ("p0", "p100"):
            axes.plot(steps, table[extreme], color=color, lw=0.9, linestyle=(0, (2, 1.5)))
        if len(steps) == 1:
            axes.errorbar(
                steps,
                table["p50"],
                [table["p50"] - table["p0"], table["p100"] - table["p50"]],
                color=color,
                marker="o",
                capsize=4,
            )
    for step in steps[_broken(table)]:
        axes.axvline(step, color=SINGULAR, lw=2.5, zorder=0)
    axes.set_yscale("symlog", linthresh=threshold, linscale=0.4)
    label_evenly(axes.xaxis, 4)
    _label_decades(axes, threshold)


def _broken(table: pd.DataFrame) -> Bool[np.ndarray, " rows"]:
    """Where there are non-finite entries."""
    counts = table[[name for name in ("nan", "inf", "-inf") if name in table]]
    return np.asarray((counts > 0).any(axis=1), bool)


def _label_decades(axes: Axes, threshold: float) -> None:
    """Zero and about three decades on each side."""
    bottom, top = axes.get_ylim()
    first = round(math.log10(threshold)) + 1
    decades = [10.0**power for power in range(first, 40) if 10.0**power <= max(-bottom, top)]
    every = max(1, -(-len(decades) // 3))
    shown = decades[every - 1 :: every]
    axes.set_yticks([tick for tick in [*(-decade for decade in reversed(shown)), 0.0, *shown] if bottom <= tick <= top])
    axes.yaxis.set_major_formatter(number)


def _legend(*, broken: bool) -> list[Line2D | Patch]:
    """What is drawn; the marks of non-finite entries only where there are any."""
    entries: list[Line2D | Patch] = [
        Line2D([], [], color=INK, lw=1.3, label="median"),
        Patch(color=MUTED, alpha=0.7, label="25–75 %"),
        Patch(color=MUTED, alpha=0.45, label="5–95 %"),
        Patch(color=MUTED, alpha=0.2, label="0.1–99.9 %"),
        Line2D([], [], color=MUTED, lw=0.9, linestyle=(0, (2, 1.5)), label="extremes"),
    ]
    return [*entries, Line2D([], [], color=SINGULAR, lw=2.5, label="non-finite entries")] if broken else entries
