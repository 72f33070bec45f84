"""What figures are drawn from: one run's records, read once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure

from repro.measurements.kappa import Kappa
from repro.records import RunDirectory, metrics, readings, spectra
from repro.records.spectrum import COLUMNS
from repro.records.surface import SURFACE, Surface, SurfaceRecord
from repro.records.tables import METRIC_COLUMNS

DRAWN = ("weights", "representations")
"""Whose singular values are drawn."""


@dataclass(frozen=True, kw_only=True)
class RunRecords:
    """One run as the figures see it."""

    label: str
    """What the run is called; runs of one label, such as several seeds, look alike."""
    metrics: pd.DataFrame
    """Columns step, epoch, metric, value."""
    readings: pd.DataFrame
    """Columns step, epoch, measurement, layer, name, mode, quantity, value."""
    classes: int | None = None
    """Number of classes, for the chance level; None draws none."""
    spectra: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=COLUMNS))
    """All singular values of weights and representations (`repro.records.spectra`), if they were kept."""
    surface: Surface | None = None
    """The loss around the trained network, if `repro landscape` has computed all of it."""
    _tables: dict[tuple[object, ...], pd.DataFrame] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, run: RunDirectory, *, label: str | None = None, classes: int | None = None) -> RunRecords:
        """The records of a run directory, under its own name if no label is given."""
        name = label or run.name
        record = SurfaceRecord(run.path / SURFACE)
        surface = record.read(name) if record.exists and not record.missing() else None
        of_run, read = metrics(run), readings(run)
        of_run = of_run.astype({"metric": "category"})  # compared by number, not by letter: ten times as fast
        read = read.astype(dict.fromkeys(("measurement", "name", "mode", "quantity"), "category"))
        kept = spectra(run, DRAWN)
        return cls(label=name, metrics=of_run, readings=read, classes=classes, spectra=kept, surface=surface)

    @classmethod
    def of_readings(cls, label: str, readings: pd.DataFrame) -> RunRecords:
        """Readings alone, for figures that need no metrics."""
        return cls(label=label, metrics=pd.DataFrame(columns=METRIC_COLUMNS), readings=readings)

    def of_layers(self, kappa: Kappa) -> pd.DataFrame:
        """`Kappa.table` of the readings, made once: figures, maps and captions each ask for it."""
        key = (kappa.measurement, kappa.modes, kappa.largest)
        if key not in self._tables:
            self._tables[key] = kappa.table(self.readings)
        return self._tables[key]

    def series(self, *names: str) -> tuple[Float[np.ndarray, " steps"], Float[np.ndarray, " steps"]]:
        """Steps and values of the first of these metrics that was recorded; empty arrays if none was."""
        for name in names:
            rows = self.metrics[self.metrics["metric"] == name]
            if len(rows):
                break
        else:
            rows = self.metrics.iloc[:0]
        return rows["step"].to_numpy(float), rows["value"].to_numpy(float)


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure of runs: what stands above and below it, whether records suffice for it, and how it is drawn."""

    heading: str
    caption: str
    """What is plotted."""
    suffices: Callable[[Sequence[RunRecords]], bool]
    draw: Callable[[Sequence[RunRecords]], Figure]
    when_named: bool = False
    """Whether only studies that name it have it: what the last part of a label means is theirs."""
    kappas: Sequence[Kappa] = ()
    """The condition numbers in it, of which the caption says where they are infinite."""


T = TypeVar("T")


def first_of_each(runs: Sequence[RunRecords], of: Callable[[RunRecords], T | None]) -> dict[str, T]:
    """By label, in the runs' order, what the first run has that has it: for figures that show one of several seeds."""
    found: dict[str, T] = {}
    for run in runs:
        if run.label not in found and (value := of(run)) is not None:
            found[run.label] = value
    return {label: found[label] for label in dict.fromkeys(run.label for run in runs) if label in found}
