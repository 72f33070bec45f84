"""What was read early against what came of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from repro.figures.panels import DOTTED
from repro.figures.style import INK, freeze_layout, looks, styled
from repro.figures.ticks import label_decades

_MOST = 1e100
"""Of a value; what is beyond stands with the infinite, as Matplotlib finds no ticks for it."""


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """Runs as points: a reading, and the outcome."""

    title: str
    reading: str
    values: Sequence[float]
    scores: Sequence[float]
    families: Sequence[str]
    threshold: float
    """Up to which value a run is said to train; dotted."""


def forecast(panels: Sequence[Outcomes]) -> Figure:
    """A panel for each reading: the accuracy that runs came to above chance, against the reading; infinite at the edge.

    Values that span more than two decades stand on a logarithmic axis.
    """
    look = looks(family for panel in panels for family in panel.families)
    with styled():
        figure = Figure(figsize=(max(8.5, 5.2 * len(panels)), 4.8), layout="constrained")
        for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            finite = [value for value in panel.values if abs(value) <= _MOST]
            wide = min(finite, default=0) > 0 and max(finite) / min(finite) > 100
            edge = _edge(panel.values, finite, wide=wide)
            for family in dict.fromkeys(panel.families):
                own = [place for place, other in enumerate(panel.families) if other == family]
                x = [panel.values[place] if abs(panel.values[place]) <= _MOST else edge for place in own]
                y = [100 * panel.scores[place] for place in own]
                (marks,) = axes.plot(x, y, linestyle="none", marker=look[family].marker, color=look[family].color)
                marks.set(label=family, markersize=8, alpha=0.8, gid=f"runs-{family}")
            if wide:
                axes.set_xscale("log")
                label_decades(axes.xaxis)
            axes.set(title=panel.title, xlabel=panel.reading, ylabel="accuracy above chance (%)", ylim=(-4, 104))
            _marked(axes, panel, edge)
        figure.axes[0].legend(loc="best", fontsize=10)
        return freeze_layout(figure)


def _edge(values: Sequence[float], finite: Sequence[float], *, wide: bool) -> float:
    """Where infinite values stand; NaN if there are none."""
    if len(finite) == len(values):
        return math.nan
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    return high * (high / low) ** 0.15 if wide else high + 0.15 * ((high - low) or 1.0)


def _marked(axes: Axes, panel: Outcomes, edge: float) -> None:
    if abs(panel.threshold) <= _MOST:
        axes.axvline(panel.threshold, color=INK, lw=1.2, linestyle=DOTTED)
    if np.isfinite(edge):
        axes.text(edge, 1.0, "∞", transform=axes.get_xaxis_transform(), ha="center", va="bottom")
