"""The logger that writes the run directory: the one that must not fail."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from repro.measurements import Reading
from repro.records import RunDirectory, append_spectra


class RunLogger(Logger):
    """A logger of a run, which knows the whole configuration from the start."""

    def __init__(self, run: RunDirectory) -> None:
        super().__init__()
        self.run = run

    @property
    def name(self) -> str:
        """The study's name."""
        return self.run.study

    @property
    def version(self) -> str:
        """The run's name."""
        return self.run.name

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing to do."""


class RecordLogger(RunLogger):
    """Appends metrics and readings to a run directory, flushed each time, from rank 0."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append metrics recorded after `step` steps."""
        values = dict(metrics)
        epoch = int(values.pop("epoch", 0))
        if values:
            self.run.append_metrics(step or 0, epoch, values)

    @rank_zero_only
    def log_readings(self, readings: Sequence[Reading], *, step: int, epoch: int) -> None:
        """Append readings taken after `step` steps, and the spectra that they keep."""
        self.run.append_readings(step, epoch, (reading.as_dict() for reading in readings))
        kept = (reading.spectrum_dict() for reading in readings if reading.spectrum is not None)
        append_spectra(self.run, step, epoch, kept)
