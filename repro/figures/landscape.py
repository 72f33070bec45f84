"""A loss surface as contours over a heat map, its errors, and in three dimensions (Nguyen, Fig. 3)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.axes3d import Axes3D

from repro.figures.source import Drawing, RunRecords, first_of_each
from repro.figures.style import INK, MUTED, PAPER, freeze_layout, styled, title
from repro.figures.ticks import label_decades, number
from repro.records.surface import Surface

_MAP = "viridis"
_FLOOR = 1e-8
_WORDS = {"random": "random directions", "filter": "filter-normalised directions", "pca": "principal directions"}


@styled()
def surfaces(shown: Sequence[Surface]) -> Figure:
    """A row for each surface, under one scale of colours for the loss: heat map with contours, errors, 3-D.

    Points that were not computed, and losses that are not finite, stay blank.
    """
    norm, of_errors = _norm(shown), _of_errors(shown)
    figure = Figure(figsize=(13.5, 4.5 * len(shown)), layout="constrained")
    grid = figure.add_gridspec(len(shown), 3, width_ratios=[1, 1, 1.15])
    maps, wrong = [], []
    for row, surface in enumerate(shown):
        heat = figure.add_subplot(grid[row, 0])
        _heat(heat, surface, norm)
        maps.append(heat)
        errors = figure.add_subplot(grid[row, 1])
        _errors(errors, surface, of_errors)
        wrong.append(errors)
        _space(figure.add_subplot(grid[row, 2], projection="3d"), surface, norm)
    bar = figure.colorbar(ScalarMappable(norm, _MAP), ax=maps, label="mean loss", shrink=0.75, pad=0.02)
    label_decades(bar.ax.yaxis)
    percent = ScalarMappable(of_errors, "magma")
    bar = figure.colorbar(percent, ax=wrong, label="samples classified wrongly (%)", shrink=0.75, pad=0.02)
    bar.ax.yaxis.set_major_formatter(number)
    return freeze_layout(figure)


def _norm(shown: Sequence[Surface]) -> LogNorm:
    values = np.concatenate([surface.loss.ravel() for surface in shown])
    values = values[np.isfinite(values)]
    if not len(values):
        return LogNorm(0.1, 10)
    low = max(float(values.min()), _FLOOR)
    return LogNorm(low, max(float(values.max()), 10 * low))


def _of_errors(shown: Sequence[Surface]) -> Normalize:
    values = np.concatenate([surface.errors.ravel() for surface in shown])
    values = values[np.isfinite(values)]
    return Normalize(0, max(100 * float(values.max(initial=0)), 1.0))


def _visible(surface: Surface) -> Float[np.ndarray, "points points"]:
    return np.where(np.isfinite(surface.loss), np.maximum(surface.loss, _FLOOR), np.nan)


def _plane(axes: Axes, surface: Surface) -> None:
    axes.set(xlabel="first direction", ylabel="second direction", aspect="equal")
    axes.grid(visible=False)
    if len(surface.path):
        axes.plot(*surface.path.T, color=PAPER, lw=2.6)
        axes.plot(*surface.path.T, color=INK, lw=1.2, marker=".", markersize=5)
    axes.plot(0, 0, marker="+", markersize=11, color=PAPER, markeredgewidth=2.2)


def _heat(axes: Axes, surface: Surface, norm: LogNorm) -> None:
    values = _visible(surface)
    axes.pcolormesh(surface.at, surface.at, values, cmap=_MAP, norm=norm, rasterized=True, shading="nearest")
    finite = values[np.isfinite(values)]
    if len(finite) and finite.max() > 1.001 * finite.min():
        levels = np.geomspace(finite.min(), finite.max(), 13)[1:-1]
        lines = axes.contour(surface.at, surface.at, values, levels=levels, colors=PAPER, linewidths=0.8, alpha=0.75)
        axes.clabel(lines, levels[::3], fmt=lambda value: f"{value:.2g}", fontsize=8.5, colors=PAPER)
    axes.set_title(title(surface.label))
    _plane(axes, surface)


def _errors(axes: Axes, surface: Surface, norm: Normalize) -> None:
    percent = 100 * surface.errors
    axes.pcolormesh(surface.at, surface.at, percent, cmap="magma", norm=norm, rasterized=True, shading="nearest")
    axes.set_title(_WORDS.get(surface.directions, surface.directions))
    _plane(axes, surface)


def _space(axes: Axes3D, surface: Surface, norm: LogNorm) -> None:
    columns, rows = np.meshgrid(surface.at, surface.at)
    height = np.log10(_visible(surface))
    colors = ScalarMappable(norm, _MAP).to_rgba(_visible(surface))
    finite = np.isfinite(height)
    colors[~finite] = 0
    axes.plot_surface(
        columns, rows, height, facecolors=colors, rstride=1, cstride=1, linewidth=0, shade=False, rasterized=True
    )
    edge = float(surface.at[-1])
    axes.set(xlabel="first direction", ylabel="second direction", xticks=[-edge, 0, edge], yticks=[-edge, 0, edge])
    axes.set_box_aspect(None, zoom=0.85)
    low, high = math.log10(norm.vmin or _FLOOR), math.log10(norm.vmax or 1.0)
    axes.set_zlim(low, high)
    step = max(1, math.ceil((high - low) / 5))
    ticks = [float(exponent) for exponent in range(math.ceil(low), math.floor(high) + 1, step)]
    axes.set_zticks(ticks if len(ticks) > 1 else np.linspace(low, high, 4).tolist())
    axes.zaxis.set_major_formatter(_power)
    axes.set_title("mean loss")
    axes.view_init(elev=32, azim=-58)
    axes.set_facecolor(PAPER)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_pane_color((0, 0, 0, 0))
        axis.label.set_color(INK)
        axis.label.set_size(10)
    axes.tick_params(labelsize=9, colors=MUTED)


def _power(exponent: float | int, _: int | None) -> str:
    value = 10.0**exponent
    return number(value) if abs(exponent - round(exponent)) < 1e-9 else f"{value:.2g}"


def _of_runs(runs: Sequence[RunRecords]) -> Figure:
    return surfaces(list(first_of_each(runs, lambda run: run.surface).values()))


LANDSCAPE = Drawing(
    heading="The loss around the solution",
    caption="""Mean loss (left, with contours; right, in three dimensions) and share of wrongly classified training
    images (middle) where the weights are moved from the solution (cross) along two directions as long as the weights
    themselves; the scale of the loss is logarithmic and shared.""",
    suffices=lambda runs: any(run.surface is not None for run in runs),
    draw=_of_runs,
)
