"""Training curves (Oyedotun Fig. 2 and 3), and the first layer's weights while they grow."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from repro.figures.panels import DOTTED, Panel, Trace, draw_panels, note_line
from repro.figures.seeds import pooled
from repro.figures.source import Drawing, RunRecords
from repro.figures.style import INK, looks
from repro.measurements import kappa

_POINTS = 300


def has_curves(runs: Sequence[RunRecords]) -> bool:
    """Whether any of the runs recorded a loss."""
    return any(len(run.series("step/cross_entropy", "train/cross_entropy")[0]) for run in runs)


def _line(run: RunRecords, *names: str, scale: float = 1.0) -> list[Trace]:
    """A line of at most 300 points: of longer series, means of equally many neighbours; a non-finite one stays so."""
    steps, values = run.series(*names)
    if not len(steps):
        return []
    width = math.ceil(len(steps) / _POINTS)
    starts = np.arange(0, len(steps), width)
    counts = np.diff(starts, append=len(steps))
    x, y = np.add.reduceat(steps, starts) / counts, np.add.reduceat(values, starts) / counts
    return [Trace(label=run.label, x=x, y=scale * y, marked=False, when="training batches")]


def _points(run: RunRecords, *names: str, scale: float = 1.0) -> list[Trace]:
    steps, values = run.series(*names)
    if not len(steps):
        return []
    return [Trace(label=run.label, x=steps, y=scale * values, kind="points", when="held-out data")]


def _unpenalised(run: RunRecords) -> bool:
    """Whether the objective was the cross-entropy at every recorded step."""
    (steps, entropy), (others, objective) = run.series("step/cross_entropy"), run.series("step/objective")
    return np.array_equal(steps, others) and np.array_equal(entropy, objective, equal_nan=True)


def training_curves(runs: Sequence[RunRecords]) -> Figure:
    """Cross-entropy, objective and accuracy against step: batches as lines, held-out data as marks at epoch ends.

    An objective that is the cross-entropy itself is not drawn again.
    """
    entropy, objective, accuracy = [], [], []
    for run in runs:
        entropy += _line(run, "step/cross_entropy", "train/cross_entropy")
        entropy += _points(run, "test/cross_entropy", "validation/cross_entropy")
        if not _unpenalised(run):
            objective += _line(run, "step/objective", "train/objective")
        accuracy += _line(run, "step/accuracy", "train/accuracy", scale=100.0)
        accuracy += _points(run, "test/accuracy", "validation/accuracy", scale=100.0)
    classes = {run.classes for run in runs}
    chance = classes.pop() if len(classes) == 1 else None
    strips = {"infinite": "∞", "non-finite": "not a number"}
    panels = [
        Panel(
            title="Cross-entropy",
            x="step",
            y="cross-entropy (nats)",
            traces=pooled(entropy),
            strips=strips,
            reference=math.log(chance) if chance else None,
        ),
        Panel(title="Objective, with weight penalty", x="step", y="objective", traces=pooled(objective), strips=strips),
        Panel(
            title="Accuracy",
            x="step",
            y="accuracy (%)",
            traces=pooled(accuracy),
            strips=strips,
            y_scale="linear",
            y_limits=(0.0, 102.0),
            reference=100 / chance if chance else None,
        ),
    ]
    if not objective:
        del panels[1]
    kinds = {trace.kind for panel in panels for trace in panel.traces}
    notes = [note_line("line: training batches", lw=1.8)] if "line" in kinds else []
    notes += [note_line("mark: held-out data", linestyle="none", marker="o")] if "points" in kinds else []
    if chance:
        notes.append(note_line("dotted: chance", lw=1.2, linestyle=DOTTED, color=INK))
    return draw_panels(panels, looks(run.label for run in runs), size=(4.0 * len(panels), 4.6), notes=notes)


def has_first_layer(runs: Sequence[RunRecords]) -> bool:
    """Whether any of the runs measured its first layer's weights."""
    return any(len(kappa.first_layer(run.readings)) for run in runs)


def first_layer(runs: Sequence[RunRecords]) -> Figure:
    """σmax of the first layer's weights against step: whether the first layer explodes (Oyedotun Fig. 5)."""
    traces = []
    for run in runs:
        table = kappa.first_layer(run.readings)
        traces.append(Trace(label=run.label, x=table["step"].to_numpy(float), y=table["sigma_max"].to_numpy(float)))
    panel = Panel(
        title="First layer's weights",
        x="step",
        y="largest singular value",
        traces=pooled(traces),
        x_scale="symlog",
        strips={"infinite": "∞", "non-finite": "non-finite entries"},
    )
    return draw_panels([panel], looks(run.label for run in runs), size=(8.5, 4.6))


CURVES = Drawing(
    heading="Training",
    caption="""Cross-entropy, objective (cross-entropy plus the L2 penalty on the weights) and accuracy against the
    optimiser step. Lines show training batches; marks show the whole held-out set after each epoch.""",
    suffices=has_curves,
    draw=training_curves,
)
FIRST_LAYER = Drawing(
    heading="The first layer's weights during training",
    caption="""Largest singular value of the first layer's weights against the optimiser step; both axes are
    logarithmic, and step 0, before training, is at the left.""",
    suffices=has_first_layer,
    draw=first_layer,
)
