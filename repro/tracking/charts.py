"""Readings as W&B wants them: numbers to plot over time, a table and charts."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from repro.figures import RunRecords, draw_measurements, to_png
from repro.measurements import MEASUREMENTS
from repro.measurements.kappa import BEYOND, NON_FINITE, SINGULAR, Kappa, kind
from repro.measurements.kinds.distributions import edges

INFINITE_AT = {BEYOND: 8.0, SINGULAR: 12.0}
"""Where a chart has infinite κ on its axis of log10 κ: above all finite ones, which end at 6.92."""


class Charts:
    """The tables and charts of one run, measurement after measurement; with `pictures` our own figures too."""

    def __init__(self, label: str, *, pictures: bool = False) -> None:
        self._label, self._pictures = label, pictures
        self._untrained: pd.DataFrame | None = None
        self._over_time: list[pd.DataFrame] = []

    def note(self, frame: pd.DataFrame) -> None:
        """Take in the readings of a step that are not shown now but belong into later charts."""
        often = _often(frame)
        self._over_time.append(frame[often])
        if len(frame) and frame["step"].iloc[0] == 0 and not often.all():
            self._untrained = frame[~often]

    def content(self, frame: pd.DataFrame) -> dict[str, Any]:
        """What W&B gets for the readings of one step: histograms, of each measurement a table, of each κ a chart.

        A step at which only distributions are taken, as they may be often, gets histograms alone.
        """
        import wandb

        self.note(frame)
        often = _often(frame)
        entries: dict[str, Any] = histograms(frame[often])
        now = frame[~often]
        if not len(now):
            return entries
        before = [] if self._untrained is None or frame["step"].iloc[0] == 0 else [self._untrained]
        for measurement, part in frame.assign(kind=kind(frame)).groupby("measurement"):
            # By rows: of a frame W&B looks up every cell by itself.
            entries[f"readings/{measurement}"] = wandb.Table(
                columns=list(part.columns), data=list(part.itertuples(index=False, name=None))
            )
        taken = set(now["measurement"])
        kappas = [kappa for each in MEASUREMENTS.values() if each.name in taken for kappa in each.kappas]
        entries |= {f"charts/{_name(kappa)}": chart(kappa, now, *before) for kappa in kappas if kappa.has(now)}
        if self._pictures:
            records = RunRecords.of_readings(self._label, pd.concat([*before, now, *self._over_time]))
            figures = draw_measurements([records])
            entries |= {f"pictures/{name}": image(figure) for name, figure in figures.items()}
        return entries


def chart(kappa: Kappa, now: pd.DataFrame, *before: pd.DataFrame) -> Any:
    """κ against the layer as W&B's own line chart, in which the runs that one chooses lie over each other.

    Its axis is linear, so κ stands there as log10 κ, infinite κ at `INFINITE_AT`.
    """
    import wandb

    rows: list[Any] = []
    for when, frame in [*(("before training", frame) for frame in before), ("now", now)]:
        for row in kappa.table(frame).itertuples():
            value, what = float(row.kappa), str(row.kind)  # type: ignore[arg-type]
            height = None if what == NON_FINITE else INFINITE_AT.get(what, float(np.log10(value)))
            rows.append([row.layer, row.name, when, row.epoch, height, value, what])
    table = wandb.Table(columns=["layer", "name", "when", "epoch", "log10_kappa", "kappa", "kind"], data=rows)
    title = f"{kappa.title}: log10 of κ by layer ({', '.join(f'{at:g}: {what}' for what, at in INFINITE_AT.items())})"
    return wandb.plot.line(table, "layer", "log10_kappa", stroke="when", title=title)


def _name(kappa: Kappa) -> str:
    of = kappa.measurement
    return kappa.key if kappa.key.startswith(of) else f"{of}_{kappa.key}"


def _often(frame: pd.DataFrame) -> pd.Series[bool]:
    return frame["measurement"].isin([each.name for each in MEASUREMENTS.values() if each.over_time])


def histograms(frame: pd.DataFrame) -> dict[str, Any]:
    """Distributions as W&B's histograms, on the recorded bins between the outermost that hold anything."""
    import wandb

    bounds = edges().numpy()
    entries = {}
    rows = frame[frame["quantity"].str.startswith("bin ")]
    for (layer, of), part in rows.groupby(["layer", "mode"]):
        numbers = part["quantity"].str.removeprefix("bin ").astype(int).to_numpy()
        counts = np.zeros(len(bounds) + 1)
        counts[numbers] = part["value"].to_numpy(float)
        first, last = max(numbers.min(), 1), min(numbers.max(), len(bounds) - 1)
        if first <= last:
            inside = (counts[first : last + 1], bounds[first - 1 : last + 1])
            entries[f"distributions/layer {layer}/{of}"] = wandb.Histogram(np_histogram=inside)
    return entries


def summary(frame: pd.DataFrame) -> dict[str, float]:
    """Over the layers each measurement's median κ and largest finite one, and how many are infinite and how.

    The median is that of claims: infinite ones count. Beside them the measurement's other quantities.
    """
    entries: dict[str, float] = {}
    for measurement in MEASUREMENTS.values():
        for kappa in measurement.kappas[:1]:
            of_kappa = kappa.quantities.values(frame)
            for name in ("median", "infinite", "singular", "beyond_float32"):
                if (value := of_kappa.get(f"{kappa.key}_{name}")) is not None:
                    entries[f"condition_number/{measurement.name}/{name}"] = value
            finite = [value for name, value in of_kappa.items() if "_kappa[" in name and np.isfinite(value)]
            if finite:
                entries[f"condition_number/{measurement.name}/largest_finite"] = max(finite)
        rows = frame[frame["measurement"] == measurement.name]
        for quantities in measurement.quantities if len(rows) else ():
            of_all = {name for name, words in quantities.words.items() if "{}" not in words}
            values_of = quantities.values(rows)
            entries |= {f"{measurement.name}/{name}": values_of[name] for name in of_all & values_of.keys()}
    return entries


def image(figure: Figure) -> Any:
    """A figure as W&B takes it."""
    import wandb

    return wandb.Image(Image.open(io.BytesIO(to_png(figure, dpi=100))))
