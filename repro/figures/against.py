"""Results against a number that a study turns: the last part of its cells' labels (``resnet110-0.5``, ``plain-56``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from repro.figures.panels import Kind, Panel, Trace, draw_panels, note_line
from repro.figures.source import Drawing, RunRecords
from repro.figures.style import looks, title
from repro.measurements import MEASUREMENTS
from repro.measurements.kappa import SINGULAR, at_end

Runs = Sequence[RunRecords]
Value = Callable[[RunRecords], float | None]
_LABEL = re.compile(r"(.+)-(\d+(?:\.\d+)?)")
_KAPPAS = {kappa.key: kappa for measurement in MEASUREMENTS.values() for kappa in measurement.kappas}
_TRAINS = 50.0
"""Per cent of the held-out images: over it, a network is said to train."""


def turns(runs: Runs) -> bool:
    """Whether some line of labels has two numbers or more."""
    places = {match.groups() for run in runs if (match := _LABEL.fullmatch(run.label))}
    return len(places) > len({line for line, _ in places})


def dial(runs: Runs) -> Figure:
    """Accuracy, κ of kernels and of maps of images, and the share of singular representations, against α."""
    shared: dict[str, Any] = {"x": "strength α of the skips", "whole": False}
    medians = {"weights": "κ of kernels", "operators": "κ of maps of images"}
    panels = [
        _accuracy(runs, **shared),
        *(
            Panel(
                title=words,
                y="median over the layers",
                traces=_traces(runs, _at_end(key, lambda last: last["kappa"].median(skipna=False))),
                **shared,
            )
            for key, words in medians.items()
        ),
        *(_singular(runs, key, **shared) for key in ("representations", "matrix")),
    ]
    return _draw(panels, width=3.3)


def slope(runs: Runs) -> Figure:
    """Accuracy and the share of singular representations against the activation's slope."""
    shared: dict[str, Any] = {"x": "slope below 0 (0: ReLU, 1: linear)", "whole": False}
    singular = [_singular(runs, key, **shared) for key in ("representations", "matrix")]
    return _draw([_accuracy(runs, **shared), *singular], width=4.2)


def depth(runs: Runs) -> Figure:
    """Accuracy and the share of singular representations against depth."""
    shared: dict[str, Any] = {"x": "weight layers", "x_scale": "log"}
    return _draw([_accuracy(runs, **shared), _singular(runs, "matrix", **shared)], width=6.0)


def rates(runs: Runs) -> Figure:
    """The last epoch's training loss against the learning rate, a panel a network, a line an optimiser."""
    panels = []
    for network in dict.fromkeys(run.label.partition("-")[0] for run in runs):
        own = [
            replace(run, label=rest) for run in runs for head, _, rest in [run.label.partition("-")] if head == network
        ]
        traces = _traces(own, lambda run: _last(run, "train/cross_entropy"))
        panels.append(Panel(title=title(network), x="learning rate", y="loss (nats)", x_scale="log", traces=traces))
    return _draw(panels, width=3.7)


def _draw(panels: Sequence[Panel], *, width: float) -> Figure:
    panels = [panel for panel in panels if panel.traces]
    shares = any(trace.kind == "faint" for panel in panels for trace in panel.traces)
    notes = [note_line("thin: perfectly singular (σmin/σmax ≤ 1e-12)", lw=0.9, alpha=0.7)] if shares else []
    labels = dict.fromkeys(trace.label for panel in panels for trace in panel.traces)
    return draw_panels(panels, looks(labels), size=(max(8.5, width * len(panels)), 4.8), notes=notes)


def _accuracy(runs: Runs, **axes: Any) -> Panel:
    traces = _traces(runs, lambda run: _last(run, "test/accuracy", 100.0))
    axes |= {"y": "%", "y_scale": "linear", "y_limits": (0.0, 102.0), "reference": _TRAINS}
    return Panel(title="Test accuracy", traces=traces, **axes)


def _singular(runs: Runs, key: str, **axes: Any) -> Panel:
    """The share of layers with infinite κ, and faintly that of the perfectly singular ones."""
    traces = _traces(runs, _at_end(key, lambda last: 100 * np.isinf(last["kappa"]).mean()))
    traces += _traces(runs, _at_end(key, lambda last: 100 * (last["kind"] == SINGULAR).mean()), kind="faint")
    words = "as matrices" if key == "matrix" else "channel mode"
    axes |= {"y": "% of representations with κ = ∞", "y_scale": "linear", "y_limits": (-2.0, 102.0)}
    return Panel(title=f"Singular, {words}", traces=traces, **axes)


def _traces(runs: Runs, value: Value, *, kind: Kind = "line") -> list[Trace]:
    """A trace for each line of labels: at each number the middle one of its runs, and a band over them."""
    found: dict[str, dict[float, list[float]]] = {}
    for run in runs:
        if (match := _LABEL.fullmatch(run.label)) and (number := value(run)) is not None:
            found.setdefault(match[1], {}).setdefault(float(match[2]), []).append(number)
    traces = []
    for label, by_place in found.items():
        x = np.array(sorted(by_place))
        values = [np.sort(by_place[place]) for place in x]  # NaN last, after infinity
        low, middle, high = (np.array([each[at(len(each))] for each in values]) for at in _PLACES)
        several = max(map(len, values))
        band = (low, high) if several > 1 else None
        traces.append(Trace(label=label, x=x, y=middle, kind=kind, band=band, runs=several))
    return traces


_PLACES: tuple[Callable[[int], int], ...] = (lambda _: 0, lambda number: number // 2, lambda _: -1)


def _last(run: RunRecords, metric: str, scale: float = 1.0) -> float | None:
    _, values = run.series(metric)
    return scale * float(values[-1]) if len(values) else None


def _at_end(key: str, number: Callable[[pd.DataFrame], float]) -> Value:
    """A number of the layers' κ at the last measurement."""

    def value(run: RunRecords) -> float | None:
        last = at_end(run.of_layers(_KAPPAS[key]))
        return float(number(last)) if len(last) else None

    return value


DIAL = Drawing(
    heading="The dial",
    caption="""Against the strength α of the skip connections: accuracy on the held-out images (dotted: 50 %); the
    median over the layers of κ of the kernels, and of the linear maps of images that they define; and the share of
    layers whose representation has infinite κ (thick: both kinds of infinite). Runs with a learned α are left out.""",
    suffices=turns,
    draw=dial,
    when_named=True,
)
SLOPE = Drawing(
    heading="The activation's slope",
    caption="""Against the slope of the activation for negative numbers (0 is ReLU, 1 is linear): accuracy on the
    held-out images (dotted: 50 %), and the share of layers whose representation has infinite κ (thick: both kinds of
    infinite).""",
    suffices=turns,
    draw=slope,
    when_named=True,
)
DEPTH = Drawing(
    heading="Trainable depth",
    caption="""Against the number of weight layers, one line for each remedy: accuracy on the held-out images (dotted:
    50 %, above which we say that a network trains), and the share of layers whose representation has infinite κ as a
    matrix of samples (thick: both kinds of infinite).""",
    suffices=turns,
    draw=depth,
    when_named=True,
)
RATES = Drawing(
    heading="Learning rates",
    caption="""Mean cross-entropy of the last epoch's training batches against the learning rate after the warm-up,
    one line for each optimiser; the best rate is where the line is lowest.""",
    suffices=turns,
    draw=rates,
    when_named=True,
)
