"""What can be asked of a figure: where each value stands in its SVG, and all that is known of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from repro.figures.panels import Panel, PanelFigure, Trace
from repro.figures.placing import Stack
from repro.figures.style import Look, title

Answers = dict[str, Any]
"""``width``, ``height`` (points); ``reach`` (how near one has to point); ``networks`` (name, color); ``lists``;
``panels`` (title, traces). A trace has its network's number, when, and, as numbers of lists: ``at`` (x and y of each
point in turn, in points from the upper left), and what is known of each point by its heading. No list is twice. Of a
figure of panels also ``above`` (the legend's height, in points) and its ``key`` (name, sample), first the networks."""

_REACH = 24


@dataclass(frozen=True, kw_only=True)
class Series:
    """Values of one network that stand in a figure."""

    label: str
    when: str
    columns: Mapping[str, Sequence[Any]]
    """What is known of each, by heading."""
    places: Float[np.ndarray, "points 2"]
    """Where each stands: `places_of`."""


class AnsweringFigure(Figure):
    """A figure that is drawn otherwise than by `draw_panels`, with its answers."""

    answers: Answers | None = None


def asked(figure: Figure) -> Answers | None:
    """What can be asked of a figure; None of one that has no answers."""
    if isinstance(figure, AnsweringFigure):
        return figure.answers
    if not isinstance(figure, PanelFigure):
        return None
    panels = [
        (panel.title, [_series(panel, stack, trace) for trace in panel.traces])
        for panel, stack in zip(figure.panels, figure.stacks, strict=True)
    ]
    key = [{"name": entry.label, "sample": entry.sample} for entry in figure.key]
    return {**answers(figure, figure.networks, panels), "above": round(72 * figure.above, 1), "key": key}


def _series(panel: Panel, stack: Stack, trace: Trace) -> Series:
    columns, places = _columns(panel, trace), _places(panel, stack, trace)
    return Series(label=trace.label, when=trace.when, columns=columns, places=places)


def answers(
    figure: Figure,
    networks: Mapping[str, Look],
    panels: Sequence[tuple[str, Sequence[Series]]],
    *,
    reach: float = _REACH,
) -> Answers:
    """Answers from what stands where: by panel its title and series, on axes that stay where they are.

    `reach`: points from a value at which pointing still means it.
    """
    lists, labels = _Lists(), list(networks)
    width, height = figure.get_size_inches() * 72
    return {
        "width": round(width, 1),
        "height": round(height, 1),
        "reach": reach,
        "networks": [{"name": title(label), "color": look.color} for label, look in networks.items()],
        "panels": [
            {
                "title": name,
                "traces": [
                    {
                        "network": labels.index(series.label),
                        "when": series.when,
                        "columns": {word: lists.number(values) for word, values in series.columns.items()},
                        "at": lists.number(np.round(series.places, 1).ravel().tolist()),
                    }
                    for series in of_panel
                ],
            }
            for name, of_panel in panels
        ],
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
    places = places_of(stack.main, trace.x, np.where(np.isfinite(trace.y), trace.y, 1.0))
    for is_kind, strip, labels in _strips(panel, stack):
        chosen = is_kind(trace.y)
        if chosen.any():
            row = len(labels) - 1 - labels.index(trace.label)
            places[chosen] = places_of(strip, trace.x[chosen], np.full(chosen.sum(), row + 0.1))
    return places


def _strips(panel: Panel, stack: Stack) -> Iterator[tuple[Any, Axes, list[str]]]:
    """The strips in the order in which they were drawn, with the labels of their rows from the top."""
    axes = iter(stack.strips)
    for is_kind in (np.isnan, np.isinf):
        labels = list(dict.fromkeys(trace.label for trace in panel.traces if is_kind(trace.y).any()))
        if labels:
            yield is_kind, next(axes), labels


def places_of(
    axes: Axes, x: Float[np.ndarray, " points"], y: Float[np.ndarray, " points"]
) -> Float[np.ndarray, "points 2"]:
    """Places in points from the figure's upper left."""
    figure = axes.figure
    places = np.asarray(axes.transData.transform(np.column_stack([x, y])), float) * 72 / figure.dpi
    places[:, 1] = float(figure.get_size_inches()[1]) * 72 - places[:, 1]  # type: ignore[union-attr]
    return places
