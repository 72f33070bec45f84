"""What can be asked of a figure: where each value stands in its SVG, and all that is known of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from repro.figures.panels import Panel, PanelFigure, Trace
from repro.figures.placing import Stack
from repro.figures.style import title

Answers = dict[str, Any]
"""``width``, ``height`` (points); ``networks`` (name, color); ``lists``; ``panels`` (title, x, y, traces). A trace has
its network's number, when, and, as numbers of lists: ``at`` (x and y of each point in turn, in points from the upper
left), and what is known of each point by its heading. No list stands there twice."""


def asked(figure: Figure) -> Answers | None:
    """The answers of a figure that `draw_panels` drew; None of another."""
    if not isinstance(figure, PanelFigure):
        return None
    labels, lists = list(figure.networks), _Lists()
    width, height = figure.get_size_inches() * 72
    panels = []
    for panel, stack in zip(figure.panels, figure.stacks, strict=True):
        traces = [
            {"network": labels.index(trace.label), "when": trace.when}
            | {"columns": {word: lists.number(values) for word, values in _columns(panel, trace).items()}}
            | {"at": lists.number(np.round(_places(panel, stack, trace), 1).ravel().tolist())}
            for trace in panel.traces
        ]
        panels.append({"title": panel.title, "traces": traces})
    networks = [{"name": title(label), "color": look.color} for label, look in figure.networks.items()]
    return {
        "width": round(width, 1),
        "height": round(height, 1),
        "networks": networks,
        "panels": panels,
        "lists": lists.values,
    }


class _Lists:
    """Lists by number, each once."""

    def __init__(self) -> None:
        self.values: list[list[Any]] = []
        self._numbers: dict[str, int] = {}

    def number(self, values: Sequence[Any]) -> int:
        written = [_written(value) for value in values]
        key = json.dumps(written)
        if key not in self._numbers:
            self._numbers[key] = len(self.values)
            self.values.append(written)
        return self._numbers[key]


def _written(value: Any) -> Any:
    """A number to four digits; what JSON has no number for as a word."""
    if isinstance(value, str):
        return value
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "∞" if value > 0 else "−∞"
    short = float(f"{value:.4g}")
    return round(short) if short == round(short) and abs(short) < 1e15 else short


def _columns(panel: Panel, trace: Trace) -> dict[str, Sequence[Any]]:
    columns = {panel.x.partition(",")[0]: trace.x.tolist(), **trace.about}
    after = [word for word in ("kind", "σmax", "σmin") if any(value != "" for value in trace.about.get(word, ()))]
    columns = {word: values for word, values in columns.items() if word not in ("kind", "σmax", "σmin")}
    columns |= {panel.y: trace.y.tolist()}
    if trace.band is not None:
        columns |= {"lowest": trace.band[0].tolist(), "highest": trace.band[1].tolist()}
    return columns | {word: trace.about[word] for word in after}


def _places(panel: Panel, stack: Stack, trace: Trace) -> Float[np.ndarray, "points 2"]:
    """Each point's place: on the axes, or in the strip of what is not finite."""
    places = _of(stack.main, trace.x, np.where(np.isfinite(trace.y), trace.y, 1.0))
    for is_kind, strip, labels in _strips(panel, stack):
        chosen = is_kind(trace.y)
        if chosen.any():
            row = len(labels) - 1 - labels.index(trace.label)
            places[chosen] = _of(strip, trace.x[chosen], np.full(chosen.sum(), row + 0.1))
    return places


def _strips(panel: Panel, stack: Stack) -> Iterator[tuple[Any, Axes, list[str]]]:
    """The strips in the order in which they were drawn, with the labels of their rows from the top."""
    axes = iter(stack.strips)
    for is_kind in (np.isnan, np.isinf):
        labels = list(dict.fromkeys(trace.label for trace in panel.traces if is_kind(trace.y).any()))
        if labels:
            yield is_kind, next(axes), labels


def _of(axes: Axes, x: Float[np.ndarray, " points"], y: Float[np.ndarray, " points"]) -> Float[np.ndarray, "points 2"]:
    """Places in points from the figure's upper left."""
    figure = axes.figure
    places = np.asarray(axes.transData.transform(np.column_stack([x, y])), float) * 72 / figure.dpi
    places[:, 1] = float(figure.get_size_inches()[1]) * 72 - places[:, 1]  # type: ignore[union-attr]
    return places
