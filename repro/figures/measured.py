"""The figures of measurements, as `repro.measurements` describes them: a panel a quantity, against layer or step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from repro.figures.panels import Kind, Panel, Trace, coincides, draw_panels, finite_range, note_line
from repro.figures.seeds import pooled
from repro.figures.source import RunRecords
from repro.figures.style import MUTED, PAPER, looks
from repro.importing import load
from repro.measurements.description import FigureSpec, Measurement, PanelSpec
from repro.measurements.kappa import FINITE, OVER, PERFECTLY, SINGULAR, Kappa

KAPPA = "condition number κ"
_SIGMAS = {"sigma_max": "σmax", "sigma_min": "σmin"}
_ABOUT = {"name": "name", **_SIGMAS}
_PLACE = ["step", "layer", "mode"]
_STRIPS = {"infinite": "∞", "non-finite": "not a number"}

Runs = Sequence[RunRecords]


def suffices(runs: Runs, measurement: Measurement, figure: FigureSpec) -> bool:
    """Whether any of the runs has readings for this figure."""
    if measurement.kappas:
        own = [panel for panel in figure.panels if isinstance(panel, Kappa) and panel.measurement in figure.of]
        kappas = own or measurement.kappas[:1]
        return any(kappa.has(run.readings) for run in runs for kappa in kappas)
    return any(len(_rows(run, measurement, figure.mode)) for run in runs)


def draw(runs: Runs, measurement: Measurement, figure: FigureSpec) -> Figure:
    """The figure: its panels side by side, those of κ on one scale; or what its own function draws."""
    if figure.draw:
        drawn = load(figure.draw)(runs, figure.argument)
        assert isinstance(drawn, Figure)
        return drawn
    kappas = [(kappa, _of_kappa(runs, kappa)) for kappa in figure.panels if isinstance(kappa, Kappa)]
    kappas = [(kappa, traces) for kappa, traces in kappas if traces]
    limits = finite_range(trace.y for _, traces in kappas for trace in traces) if len(kappas) > 1 else None
    panels = [
        Panel(
            title=kappa.title,
            x=kappa.x,
            y=KAPPA,
            traces=traces,
            strips={**_STRIPS, "non-finite": "non-finite entries"},
            y_limits=(limits[0] / 1.6, limits[1] * 1.6) if limits else None,
        )
        for kappa, traces in kappas
    ]
    others = [_panel(runs, measurement, panel) for panel in figure.panels if isinstance(panel, PanelSpec)]
    panels += [panel for panel in others if panel.traces] or others
    by_layer = any(isinstance(panel, Kappa) or panel.against == "layer" for panel in figure.panels)
    size = (max(11.5, 4.2 * len(panels)), 5.0) if len(panels) > 1 else (8.5, 4.8)
    notes = [*(_when(panels) if by_layer else ()), *_marks(trace for _, traces in kappas for trace in traces)]
    return draw_panels(panels, looks(run.label for run in runs), size=size, notes=notes)


def _when(panels: Sequence[Panel]) -> list[Any]:
    """What thin, thick and light mean, where they are drawn."""
    faint = [(trace, panel) for panel in panels for trace in panel.traces if trace.kind == "faint"]
    if not faint:
        return []
    notes = [note_line("thin: untrained", lw=0.9, alpha=0.7), note_line("thick: trained", lw=1.8)]
    if any(coincides(trace, panel).any() for trace, panel in faint):
        notes.append(note_line("light core: untrained as trained", lw=2.2, core=PAPER))
    return notes


def _marks(traces: Iterable[Trace]) -> list[Any]:
    """What the marks of infinite values mean, of those that there are."""
    kinds = {kind for trace in traces for kind in trace.marks("infinite")}
    marks = {"singular": (f"filled: {PERFECTLY}", MUTED), "beyond": (f"hollow: {OVER}", "none")}
    return [
        note_line(words, linestyle="none", marker="o", markerfacecolor=face)
        for kind, (words, face) in marks.items()
        if kind in kinds
    ]


def _of_kappa(runs: Runs, kappa: Kappa) -> list[Trace]:
    tables = ((run.label, _with_sigmas(kappa, run)) for run in runs)
    return pooled([trace for label, table in tables for trace in _against_layer(label, table)])


def _with_sigmas(kappa: Kappa, run: RunRecords) -> pd.DataFrame:
    """κ of every layer before training and at the last measurement, as the column value, with its σmax and σmin."""
    table, readings = run.of_layers(kappa).rename(columns={"kappa": "value"}), run.readings
    table = table[table["step"].isin([0, table["step"].max()])]
    of_kappa = readings[readings["measurement"] == kappa.measurement]
    for quantity in _SIGMAS:
        rows = of_kappa[of_kappa["quantity"] == quantity].drop_duplicates(_PLACE, keep="last")
        rows = rows[[*_PLACE, "value"]].rename(columns={"value": quantity})
        table = table.merge(rows, how="left", on=_PLACE)
    return table


def _panel(runs: Runs, measurement: Measurement, spec: PanelSpec) -> Panel:
    traces: list[Trace] = []
    for run in runs:
        rows = _rows(run, measurement, spec.mode)
        if spec.over:
            wide = rows.pivot_table(
                index=["step", "layer"], columns="quantity", values="value", aggfunc="last", observed=True
            )
            rows = (wide[spec.quantity] / wide[spec.over]).rename("value").reset_index() if len(wide) else rows
        else:
            rows = rows[rows["quantity"] == spec.quantity]
        if spec.against == "layer":
            traces += _against_layer(run.label, rows)
        elif len(rows):
            x, y = (rows[column].to_numpy(float) for column in ("step", "value"))
            traces.append(Trace(label=run.label, x=x, y=y))
    return Panel(
        title=spec.title,
        x="step" if spec.against == "step" else "layer, from the input",
        y=spec.y,
        traces=pooled(traces),
        y_scale=spec.scale,
        y_limits=spec.limits,
        reference=spec.reference,
        strips=_STRIPS,
    )


def _rows(run: RunRecords, measurement: Measurement, mode: str | None) -> pd.DataFrame:
    rows = run.readings
    rows = rows[rows["measurement"] == measurement.name]
    return rows if mode is None else rows[rows["mode"] == mode]


def _against_layer(label: str, table: pd.DataFrame) -> list[Trace]:
    """A faint trace before training and a full one at the last measurement; layer 0, the input, is no layer's."""
    table = table[table["layer"] >= 1].sort_values("layer")
    last, traces = table["step"].max(), []
    for step in dict.fromkeys((0, last)):
        rows = table[table["step"] == step]
        if len(rows):
            x, y = rows["layer"].to_numpy(float), rows["value"].to_numpy(float)
            about = {word: rows[column].tolist() for column, word in _ABOUT.items() if column in rows}
            singular = None
            if "kind" in rows:
                singular = (rows["kind"] == SINGULAR).to_numpy()
                about["kind"] = ["" if kind == FINITE else kind for kind in rows["kind"]]
            when = "trained" if step else "untrained"
            style: Kind = "line" if step == last else "faint"
            traces.append(Trace(label=label, x=x, y=y, kind=style, when=when, about=about, singular=singular))
    return traces
