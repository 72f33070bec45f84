"""Where axes stand: margins from what the labels say, in one pass.

Matplotlib's constrained layout measures every text of a figure four times, which takes longer than drawing it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Bbox

_POINT = 1 / 72
_TICK = 7 * _POINT
"""A tick and the gap to its label."""
_LABEL = 22 * _POINT
"""An axis's label with the gaps around it."""
_EDGE = 0.16
"""Right of the axes: half a tick label."""
_GAP = 0.035
"""Inches between the axes of a stack."""
TITLE = 24 * _POINT
"""A line of title with the gap below it."""


@dataclass(frozen=True)
class Stack:
    """Axes above each other that share x: strips of fixed height over the axes that take what is left."""

    main: Axes
    strips: Sequence[Axes]
    """The strips' axes, from the top."""
    heights: Sequence[float]
    """The strips' heights in inches."""


def legend_above(figure: Figure, entries: Sequence[Any], columns: int, **properties: Any) -> float:
    """A legend at the upper left, read row by row; returns the inches that it takes."""
    figure.legend(
        handles=[entry for column in range(columns) for entry in entries[column::columns]],
        loc="upper left",
        borderaxespad=0.3,
        ncols=columns,
        **properties,
    )
    rows = math.ceil(len(entries) / columns)
    return (19.2 * rows + 4) * _POINT


def place(figure: Figure, stacks: Sequence[Stack], *, above: float) -> None:
    """Set the stacks beside each other, equally wide, with so many inches free above for legend and title."""
    wide, high = figure.get_size_inches()
    ticks = [widest(stack.main.yaxis) + _TICK for stack in stacks]
    lefts = [_LABEL + width for width in ticks]
    span = (wide - sum(lefts) - _EDGE * len(stacks)) / len(stacks)
    bottom = _LABEL + _TICK + 11 * _POINT
    edge = 0.0
    for stack, left, width in zip(stacks, lefts, ticks, strict=True):
        edge += left
        top = high - above
        for strip, height in zip(stack.strips, stack.heights, strict=True):
            strip.set_position((edge / wide, (top - height) / high, span / wide, height / high))
            top -= height + _GAP
        stack.main.set_position((edge / wide, bottom / high, span / wide, (top - bottom) / high))
        label(stack.main.yaxis, figure, (edge - width - 4 * _POINT, (bottom + top) / 2))
        label(stack.main.xaxis, figure, (edge + span / 2, bottom - _TICK - 15 * _POINT))
        edge += span + _EDGE


def place_grid(figure: Figure, grid: np.ndarray, *, above: float, between: float, right: float) -> Bbox:
    """Set axes that share y in rows and columns, with two lines of tick labels below each.

    Inches stay free `above` for legend and title, `between` rows for titles, and at the `right`. Returns what the axes
    cover, in fractions of the figure.
    """
    wide, high = figure.get_size_inches()
    rows, columns = grid.shape
    ticks = max(widest(axes.yaxis) for axes in grid[:, 0]) + _TICK
    left, below = _LABEL + ticks, _LABEL + _TICK + 26 * _POINT
    span = (wide - left - right - _EDGE * (columns - 1)) / columns
    tall = (high - above - between * (rows - 1) - below * rows) / rows
    for row, column in np.ndindex(rows, columns):
        edge, top = left + column * (span + _EDGE), high - above - row * (tall + below + between)
        axes = cast(Axes, grid[row, column])
        axes.set_position((edge / wide, (top - tall) / high, span / wide, tall / high))
        label(axes.yaxis, figure, (edge - ticks - 4 * _POINT, top - tall / 2))
        label(axes.xaxis, figure, (edge + span / 2, top - tall - _TICK - 30 * _POINT))
    return Bbox([[left / wide, below / high], [(wide - right) / wide, (high - above) / high]])


def label(axis: Axis, figure: Figure, at: tuple[float, float]) -> None:
    """Set an axis's label to a place in inches, so that nothing is measured to find one."""
    wide, high = figure.get_size_inches()
    axis.set_label_coords(at[0] / wide, at[1] / high, transform=figure.transFigure)


def widest(axis: Axis) -> float:
    """Inches of the widest label that an axis's ticks will have."""
    low, high = sorted(axis.get_view_interval())
    ticks = [tick for tick in axis.get_majorticklocs() if low <= tick <= high]
    font = FontProperties(size=11)
    texts = set(axis.get_major_formatter().format_ticks(ticks))
    widths = [text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] for text in texts]
    return float(max(widths, default=0.0)) * _POINT
