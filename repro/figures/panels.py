"""Panels of lines in which nothing that was measured disappears: infinite and non-finite values get strips of marks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from repro.figures.placing import TITLE, Stack, legend_above, place
from repro.figures.style import BAND, INK, MUTED, PAPER, Look, styled, title
from repro.figures.svg.key import Entry
from repro.figures.ticks import label_decades, label_evenly, mark_minor_ticks, number, whole

Kind = Literal["line", "faint", "points"]
DOTTED = (0, (1, 2))
_ROW = 0.19  # inches of one row of a strip


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One network's values in a panel."""

    label: str
    x: Float[np.ndarray, " points"]
    y: Float[np.ndarray, " points"]
    kind: Kind = "line"
    marked: bool = True
    """Whether a line carries its network's marks."""
    singular: Bool[np.ndarray, " points"] | None = None
    """Of infinite values which are perfectly singular: these have filled marks, the others hollow ones."""
    band: tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]] | None = None
    """The lowest and the highest of several runs, of which `y` is the middle one."""
    runs: int = 1
    when: str = ""
    """What the trace is of its network, in a word: trained, untrained, held-out data."""
    about: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """What else is known of each point, by its heading: the layer's name, σmax, σmin."""

    def marks(self, strip: str) -> dict[str, Bool[np.ndarray, " points"]]:
        """What goes to a strip, by kind of mark."""
        chosen = np.isnan(self.y) if strip == "non-finite" else np.isinf(self.y)
        marks = {strip: chosen}
        if strip == "infinite" and self.singular is not None:
            marks = {"singular": chosen & self.singular, "beyond": chosen & ~self.singular}
        return {kind: some for kind, some in marks.items() if some.any()}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel: what is drawn on which axes."""

    title: str
    x: str
    y: str
    traces: Sequence[Trace]
    x_scale: Literal["linear", "symlog", "log"] = "linear"
    whole: bool = True
    """Whether x counts something, so that only whole numbers stand at a linear axis."""
    y_scale: Literal["linear", "log"] = "log"
    reference: float | None = None
    """A level to compare with, dotted."""
    y_limits: tuple[float, float] | None = None
    strips: Mapping[str, str] = field(
        default_factory=lambda: {"infinite": "∞ (singular to float32)", "non-finite": "non-finite entries"}
    )
    """The names of the two strips."""


class PanelFigure(Figure):
    """A figure that knows what it shows, so that it can be asked (`repro.figures.asked`)."""

    panels: Sequence[Panel] = ()
    stacks: Sequence[Stack] = ()
    networks: Mapping[str, Look] = {}
    """The labels of all traces; what is drawn of one has the label in its gid, between what it is and when."""
    key: Sequence[Entry] = ()
    """The legend's entries, first those of the networks."""
    above: float = 0.0
    """The legend's height in inches."""


@styled()
def draw_panels(
    panels: Sequence[Panel], look: Mapping[str, Look], *, size: tuple[float, float], notes: Sequence[Entry] = ()
) -> Figure:
    """Panels side by side, of a size in inches, under one legend: first the networks, then the notes."""
    figure = PanelFigure(figsize=size)
    stacks = [_draw(figure, panel, look) for panel in panels]
    figure.panels, figure.stacks = panels, stacks
    labels = dict.fromkeys(trace.label for panel in panels for trace in panel.traces)
    figure.networks = {label: look[label] for label in labels}
    traces = [trace for panel in panels for trace in panel.traces]
    marked = {trace.label for trace in traces if trace.kind == "points" or _has_marks(trace)}
    entries = [legend_line(look[label], title(label), marked=label in marked) for label in labels] + [*notes]
    if (several := max((trace.runs for trace in traces), default=1)) > 1:
        words = f"line, band: middle, range of {several} seeds"
        entries.append(note_line(words, lw=7, alpha=0.3, solid_capstyle="butt"))
    columns = _columns([entry.label for entry in entries], size[0])
    rows = math.ceil(len(entries) / columns)
    tallest = max(sum(stack.heights) for stack in stacks)
    more = 0.27 * max(0, rows - 3) + max(0.0, tallest - 1.2)  # long legends and strips do not crush the panels
    figure.set_size_inches(size[0], size[1] + more)
    lines = [entry.line for entry in entries]
    figure.key, figure.above = entries, legend_above(figure, lines, columns, columnspacing=1.6, handlelength=2.6)
    place(figure, stacks, above=figure.above + TITLE)
    return figure


def _columns(texts: Sequence[str], width: float) -> int:
    """Legend columns that fill as few rows evenly as fit into a width in inches; a column is as wide as its text."""
    for columns in range(len(texts), 1, -1):
        longest = [max(map(len, texts[column::columns])) for column in range(columns)]
        if sum(0.092 * length + 0.75 for length in longest) <= width:
            return math.ceil(len(texts) / math.ceil(len(texts) / columns))
    return 1


def _has_marks(trace: Trace) -> bool:
    return trace.kind == "line" and (trace.marked or bool(np.isinf(trace.y).any()))


def legend_line(look: Look, label: str, *, marked: bool) -> Entry:
    """A legend entry that shows colour, dashes and, where there are marks, the mark."""
    marker = look.marker if marked else ""
    return Entry(label, {"color": look.color, "marker": marker, "markersize": 6, "lw": 2, "linestyle": look.line})


def note_line(label: str, *, core: str = "", **properties: Any) -> Entry:
    """A legend entry in ink: what a kind of line or mark means for every network."""
    return Entry(label, {"color": MUTED, "markersize": 6, **properties}, core)


def _draw(figure: Figure, panel: Panel, look: Mapping[str, Look]) -> Stack:
    strips = {
        kind: labels
        for kind in ("non-finite", "infinite")
        if (labels := list(dict.fromkeys(trace.label for trace in panel.traces if trace.marks(kind))))
    }
    main = figure.add_axes((0, 0, 1, 1))
    _main(main, panel, look)
    above = []
    for kind, labels in strips.items():
        rows = {label: len(labels) - 1 - row for row, label in enumerate(labels)}  # the first above
        strip = figure.add_axes((0, 0, 1, 1), sharex=main)
        _strip(strip, panel.strips[kind], labels)
        above.append(strip)
        for trace in panel.traces:
            for mark, chosen in trace.marks(kind).items():
                marks = _marks(strip, trace, chosen, rows[trace.label], look[trace.label], mark)
                marks.set_gid(f"{mark}-{trace.label}-{trace.kind}")
    top = above[0] if above else main
    top.set_title(panel.title, y=1)  # with y nothing is measured to find one
    return Stack(main, above, [_ROW * (len(labels) + 1) for labels in strips.values()])


def _main(axes: Axes, panel: Panel, look: Mapping[str, Look]) -> None:
    for trace in panel.traces:
        if trace.band is not None:
            _band(axes, trace, look[trace.label].color)
        finite = np.where(np.isfinite(trace.y), trace.y, np.nan)
        style = look[trace.label]
        marks = {"marker": style.marker, "markeredgecolor": PAPER, "markeredgewidth": 0.7}
        if trace.kind == "line":
            (line,) = axes.plot(trace.x, finite, color=style.color, linestyle=style.line, lw=1.8, zorder=3)
            if trace.marked:
                line.set(**marks, markersize=6.5, markevery=_stagger(len(trace.x), list(look).index(trace.label)))
        elif trace.kind == "faint":
            (line,) = axes.plot(trace.x, finite, color=style.color, lw=0.8, alpha=0.5, zorder=2)
            if (same := coincides(trace, panel)).any():
                (core,) = axes.plot(trace.x, np.where(same, finite, np.nan), color=PAPER, lw=0.6, zorder=3.5)
                core.set_gid(f"core-{trace.label}-{trace.kind}")
        else:
            (line,) = axes.plot(trace.x, finite, color=style.color, linestyle="none", zorder=4)
            line.set(**marks, markersize=7, markevery=_stagger(len(trace.x), 0))
        line.set_gid(f"finite-{trace.label}-{trace.kind}")
        alone = _alone(trace.y)
        if alone.any() and trace.kind != "points":  # a line needs two points
            (dots,) = axes.plot(trace.x[alone], trace.y[alone], color=style.color, linestyle="none", marker=".")
            dots.set(markersize=5 if trace.kind == "line" else 3, alpha=line.get_alpha(), zorder=line.get_zorder())
            dots.set_gid(f"alone-{trace.label}-{trace.kind}")
    axes.set(xlabel=panel.x, ylabel=panel.y, yscale=panel.y_scale)
    axes.margins(x=0.02)
    label_evenly(axes.xaxis, counts=panel.whole)
    if panel.x_scale == "symlog":
        axes.set_xscale("symlog", linthresh=1, linscale=0.4)
        axes.xaxis.set_major_formatter(whole)  # a new scale brings its own
        axes.set_xlim(left=-0.1)
    if panel.x_scale == "log":
        axes.set_xscale("log")
        label_decades(axes.xaxis)
    if panel.y_limits is not None:
        axes.set_ylim(panel.y_limits)
    if panel.reference is not None:
        axes.axhline(panel.reference, color=INK, lw=1.2, linestyle=DOTTED, zorder=1)
    if panel.y_scale == "linear":
        axes.yaxis.set_major_formatter(number)
    if panel.y_scale == "log":
        label_decades(axes.yaxis)
        mark_minor_ticks(axes)


def _band(axes: Axes, trace: Trace, color: str) -> None:
    """Where the highest is not finite the band ends at the largest value that is."""
    low, high = (np.where(np.isfinite(edge), edge, np.nan) for edge in trace.band or ())
    largest = np.nanmax(high) if np.isfinite(high).any() else np.nan
    high = np.where(np.isnan(high), largest, high)
    faint = trace.kind == "faint"
    band = axes.fill_between(trace.x, low, high, color=color, alpha=0.1 if faint else 0.2, lw=0, zorder=1)
    band.set_gid(f"band-{trace.label}-{trace.kind}")


def _strip(axes: Axes, name: str, labels: Sequence[str]) -> None:
    axes.set(ylim=(-0.6, len(labels) + 0.6), facecolor=BAND)
    axes.spines[:].set_visible(False)
    axes.xaxis.set_visible(False)  # and so are not worked out
    axes.yaxis.set_visible(False)
    axes.text(0.006, len(labels), name, transform=axes.get_yaxis_transform(), va="center", fontsize=10, color=MUTED)


def _marks(axes: Axes, trace: Trace, chosen: Bool[np.ndarray, " points"], row: int, look: Look, kind: str) -> Line2D:
    faint = trace.kind == "faint"
    (marks,) = axes.plot(
        trace.x[chosen],
        np.full(int(chosen.sum()), row + (0.3 if faint else -0.1)),
        linestyle="none",
        marker="x" if kind == "non-finite" else look.marker,
        markersize=2.5 if faint else 5,
        color=look.color,
        alpha=0.4 if faint else 1,
        clip_on=False,
    )
    if kind == "beyond":
        marks.set(markerfacecolor="none", markeredgewidth=0.5 if faint else 0.9)
    elif kind != "non-finite" and not faint:
        marks.set(markeredgecolor=PAPER, markeredgewidth=0.4)
    return marks


def coincides(trace: Trace, panel: Panel) -> Bool[np.ndarray, " points"]:
    """Where a faint trace lies on its network's line, within three per cent, and would not be seen."""
    lines = [each for each in panel.traces if (each.label, each.kind) == (trace.label, "line")]
    same = np.zeros(len(trace.x), bool)
    for line in lines:
        if trace.kind == "faint" and np.array_equal(line.x, trace.x):
            with np.errstate(invalid="ignore"):
                same |= np.abs(trace.y - line.y) <= 0.03 * np.abs(line.y)
    return same


def _alone(y: Float[np.ndarray, " points"]) -> Bool[np.ndarray, " points"]:
    """Finite values without a finite neighbour."""
    finite = np.pad(np.isfinite(y), 1)
    return np.asarray(finite[1:-1] & ~finite[:-2] & ~finite[2:])


def _stagger(points: int, number: int) -> tuple[int, int]:
    """Mark at most twenty points of a line, the networks' marks beside each other rather than on top."""
    every = max(1, math.ceil(points / 20))
    return (number * max(1, every // 3)) % every, every


def finite_range(values: Iterable[Float[np.ndarray, " points"]]) -> tuple[float, float] | None:
    """The smallest and the largest finite positive value, a little apart; None if there is none."""
    joined = np.concatenate([np.ravel(array) for array in values] or [np.empty(0)])
    joined = joined[np.isfinite(joined) & (joined > 0)]
    if not len(joined):
        return None
    return float(joined.min()), max(float(joined.max()), 1.01 * float(joined.min()))
