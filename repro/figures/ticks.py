"""Ticks as all our axes have them: whole numbers, and numbers as a reader writes them."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import PathCollection
from matplotlib.path import Path
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

from repro import text
from repro.figures.style import MUTED


def label_evenly(axis: Axis, most: int = 6, *, counts: bool = True) -> None:
    """Label a linear axis at multiples of 1, 2 or 5; only at whole numbers where it `counts` something."""
    axis.set_major_locator(MaxNLocator(nbins=most, steps=[1, 2, 5, 10], integer=counts, min_n_ticks=1))
    if counts:
        axis.set_major_formatter(whole)


def label_decades(axis: Axis) -> None:
    """Label a logarithmic axis: 0.01, 1, 100, 10⁴; where it spans under two decades also 2 and 5."""
    low, high = axis.get_view_interval()
    narrow = math.log10(high / low) < 2
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,), numticks=9))
    axis.set_major_formatter(number)
    axis.set_minor_formatter(NullFormatter())


def mark_minor_ticks(axes: Axes) -> None:
    """The small ticks of a logarithmic y as one artist: a tick each would take longer than all the rest."""
    low, high = axes.get_ylim()
    ticks = [tick for tick in axes.yaxis.get_minorticklocs() if low <= tick <= high]
    axes.yaxis.set_minor_locator(NullLocator())
    marks = PathCollection(
        [Path([(0, 0), (-2 / 72, 0)])],
        offsets=[(0.0, tick) for tick in ticks],
        offset_transform=axes.get_yaxis_transform(),
        edgecolors=MUTED,
        linewidths=0.6,
        clip_on=False,
    )
    marks.set_transform(axes.figure.dpi_scale_trans)
    axes.add_artist(marks)


def whole(value: float | int, _: float | int = 0) -> str:
    """A tick at a whole number: never -0."""
    return f"{round(value):,}"


def number(value: float | int, _: float | int = 0) -> str:
    """A tick as all our axes have it: 0.01, 1, 100, 10⁴, 2·10⁵, −0.5."""
    return "0" if abs(value) < 1e-12 else text.number(value, 6, plain_below=1e4)
