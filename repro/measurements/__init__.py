"""What is looked at on a network. Importing this package does not import torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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

_NEEDS_TORCH = {"Probe": "probe", "measurement_mode": "mode", "measure": "run", "take": "run"}


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is first asked for."""
    if name not in _NEEDS_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_NEEDS_TORCH[name]}"), name)
