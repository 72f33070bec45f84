"""What is looked at on a network. Importing this package does not import torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repro.importing import lazily
from repro.measurements.description import Measurement
from repro.measurements.reading import Reading, table
from repro.measurements.registry import CHOSEN, DEFAULT, MEASUREMENTS, check, named

if TYPE_CHECKING:
    from repro.measurements.mode import measurement_mode
    from repro.measurements.probe import Probe
    from repro.measurements.run import measure, take

__all__ = [
    "CHOSEN",
    "DEFAULT",
    "MEASUREMENTS",
    "Measurement",
    "Probe",
    "Reading",
    "check",
    "measure",
    "measurement_mode",
    "named",
    "table",
    "take",
]

__getattr__ = lazily(__name__, {"Probe": "probe", "measurement_mode": "mode", "measure": "run", "take": "run"})
