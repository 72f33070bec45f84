"""A record as rows for W&B, and which of them W&B already has: the same rules while training and afterwards.

Every row carries how far the record has been sent with it, so the service itself knows (a run's summary holds the last
value of everything), and what comes later goes on from there whoever sends it. Imports neither torch nor W&B.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from repro.records import RunDirectory, metrics, readings

if TYPE_CHECKING:
    import pandas as pd

STEP = "trainer/global_step"
METRICS = "record/metrics"
MEASUREMENTS = "record/measurements"
STATUS = "record/status"


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a record has of one optimiser step."""

    step: int
    epoch: int
    metrics: Mapping[str, float]
    """Values by name, in the order in which they were recorded."""
    readings: pd.DataFrame | None = None
    """Readings: step, epoch, measurement, layer, name, mode, quantity, value; None if nothing was measured."""

    @property
    def measurements(self) -> list[str]:
        """Names of the measurements, in the order in which they were recorded."""
        return [] if self.readings is None else list(dict.fromkeys(self.readings["measurement"]))

    def only(self, metrics: list[str], measurements: list[str]) -> Row:
        """The row with these values alone."""
        kept = None
        if self.readings is not None and measurements:
            kept = self.readings[self.readings["measurement"].isin(measurements)]
        return replace(self, metrics={name: self.metrics[name] for name in metrics}, readings=kept)


def rows(run: RunDirectory) -> Iterator[Row]:
    """A run's whole record, a row for each step, steps rising; of what was recorded twice the later."""
    of_metrics: dict[Any, pd.DataFrame] = dict(iter(metrics(run).groupby("step")))
    of_readings: dict[Any, pd.DataFrame] = dict(iter(readings(run).groupby("step")))
    for step in sorted(of_metrics.keys() | of_readings.keys()):
        values, measured = of_metrics.get(step), of_readings.get(step)
        last = values if values is not None else measured
        assert last is not None
        yield Row(
            step=int(step),
            epoch=int(last["epoch"].iloc[-1]) - (values is None and step > 0),  # metrics count epochs from 0
            metrics={} if values is None else dict(zip(values["metric"], values["value"], strict=True)),
            readings=measured,
        )


@dataclass(frozen=True, kw_only=True)
class Position:
    """How far a record has been sent: all before `step`, and this many metrics and measurements of `step`."""

    step: int = -1
    metrics: int = 0
    measurements: int = 0

    @classmethod
    def of_summary(cls, summary: Mapping[str, Any] | None) -> Position:
        """The position that a run's summary holds; the beginning if there is none."""
        if not summary or summary.get(STEP) is None:
            return cls()
        return cls(
            step=int(summary[STEP]),
            metrics=int(summary.get(METRICS, 0)),
            measurements=int(summary.get(MEASUREMENTS, 0)),
        )

    def columns(self) -> dict[str, int]:
        """The position as columns of a row."""
        return {STEP: self.step, METRICS: self.metrics, MEASUREMENTS: self.measurements}


class Cursor:
    """Goes through a record, which has been sent up to a position, and tells what of it is new.

    Steps never go back: what is offered of an earlier step than the last, as by a run that was killed and repeats some
    steps from its checkpoint, has been sent before. Within a step the order in which things are recorded tells.
    """

    def __init__(self, position: Position) -> None:
        self.position = position
        self._metrics: list[str] = []
        self._measurements: list[str] = []

    def advance(self, row: Row) -> Row | None:
        """Move past a row; returns the part of it that is new, None if nothing is."""
        if row.step < self.position.step:
            return None
        if row.step > self.position.step:
            self.position = Position(step=row.step)
            self._metrics, self._measurements = [], []
        metrics = _new(self._metrics, row.metrics, self.position.metrics)
        measurements = _new(self._measurements, row.measurements, self.position.measurements)
        self.position = Position(
            step=row.step,
            metrics=max(self.position.metrics, len(self._metrics)),
            measurements=max(self.position.measurements, len(self._measurements)),
        )
        return row.only(metrics, measurements) if metrics or measurements else None


def _new(seen: list[str], names: Mapping[str, Any] | list[str], sent: int) -> list[str]:
    """The names that are neither among those seen nor among the first `sent` of a step; notes them as seen."""
    fresh = [name for name in names if name not in seen]
    already = max(0, sent - len(seen))
    seen += fresh
    return fresh[already:]
