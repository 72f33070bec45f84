"""Other quantities: Proposition 3's amplification, distance from the input, DiracNet's diagonals, features of skips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from repro.figures.conditioning import when
from repro.figures.panels import Panel, Trace, draw_panels
from repro.figures.source import RunRecords
from repro.figures.style import looks, styled


def has(runs: Sequence[RunRecords], measurement: str) -> bool:
    """Whether any of the runs took this measurement."""
    return any((run.readings["measurement"] == measurement).any() for run in runs)


def _against_layer(runs: Sequence[RunRecords], measurement: str, mode: str, quantity: str) -> list[Trace]:
    """A faint trace before training and a full one at the last measurement, for each run; the input is left out."""
    traces = []
    for run in runs:
        table = run.readings
        wanted = (table["measurement"] == measurement) & (table["mode"] == mode) & (table["quantity"] == quantity)
        table = table[wanted & (table["layer"] >= 1)].sort_values("layer")
        last = table["step"].max()
        for step in dict.fromkeys((0, last)):
            rows = table[table["step"] == step]
            if len(rows):
                x, y = rows["layer"].to_numpy(float), rows["value"].to_numpy(float)
                traces.append(Trace(label=run.label, x=x, y=y, kind="line" if step == last else "faint"))
    return traces


def _draw(runs: Sequence[RunRecords], panels: Sequence[dict[str, Any]]) -> Figure:
    strips = {"infinite": "∞", "non-finite": "not a number"}
    drawn = [Panel(x="layer, from the input", strips=strips, **panel) for panel in panels]
    size = (11.5, 5.0) if len(panels) > 1 else (8.5, 4.8)
    with styled():
        return draw_panels(drawn, looks(run.label for run in runs), size=size, notes=when())


def amplification(runs: Sequence[RunRecords]) -> Figure:
    """How far representations move from training to held-out images, and the bound of Prop. 3 (Oyedotun Eq. 27)."""
    panels = [
        {
            "title": "From training to held-out images",
            "y": "relative change ‖ΔH‖ / ‖H‖",
            "traces": _against_layer(runs, "amplification", "matrix", "relative_change"),
        },
        {
            "title": "Bound on the solution's change",
            "y": "κ(H) · ‖ΔH‖ / ‖H‖",
            "traces": _against_layer(runs, "amplification", "matrix", "bound"),
        },
    ]
    return _draw(runs, panels)


def distance(runs: Sequence[RunRecords]) -> Figure:
    """How far representations are from the first one, and how alike they place the samples (Oyedotun 6.5 (d))."""
    panels: list[dict[str, Any]] = [
        {
            "title": "Distance from the first representation",
            "y": "‖h − P h₁‖ / ‖P h₁‖",
            "traces": _against_layer(runs, "distance", "first", "relative_distance"),
        },
        {
            "title": "Likeness to the input images",
            "y": "linear CKA with x",
            "traces": _against_layer(runs, "distance", "input", "cka"),
            "y_scale": "linear",
            "y_limits": (0.0, 1.02),
        },
    ]
    return _draw(runs, panels)


def diagonals(runs: Sequence[RunRecords]) -> Figure:
    """How far a DiracNet's diagonals are from 1 (Oyedotun 6.5 (c))."""
    panel: dict[str, Any] = {
        "title": "DiracNet's diagonals",
        "y": "‖a − 1‖ / ‖1‖",
        "traces": _against_layer(runs, "diagonals", "", "relative_distance"),
        "y_scale": "linear",
    }
    return _draw(runs, [panel])


def features(runs: Sequence[RunRecords]) -> Figure:
    """Rank of Ψ, and the probe's loss beside Lemma 2.1's threshold, against step (Nguyen, Lemmas 2.1 and 3.2)."""
    panels = [
        Panel(
            title="Rank of Ψ on the probe",
            x="step",
            y="rank / images",
            traces=_over_time(runs, "psi", "rank", over="images"),
            y_scale="linear",
            y_limits=(0.0, 1.04),
            reference=1.0,
        ),
        Panel(
            title="Loss on the probe, over Lemma 2.1's threshold",
            x="step",
            y="cross-entropy / (log 2 / N)",
            traces=_over_time(runs, "loss", "cross_entropy", over="threshold"),
            reference=1.0,
        ),
    ]
    with styled():
        return draw_panels(panels, looks(run.label for run in runs), size=(11.5, 5.0))


def _over_time(runs: Sequence[RunRecords], mode: str, quantity: str, *, over: str) -> list[Trace]:
    traces = []
    for run in runs:
        rows = run.readings
        rows = rows[(rows["measurement"] == "features") & (rows["mode"] == mode)]
        table = rows.pivot_table(index="step", columns="quantity", values="value", aggfunc="last")
        if len(table):
            x, y = table.index.to_numpy(float), (table[quantity] / table[over]).to_numpy(float)
            traces.append(Trace(label=run.label, x=x, y=y))
    return traces
