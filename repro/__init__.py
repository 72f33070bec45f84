"""Reproduce, extend and check two papers on why skip connections make very deep networks trainable.

``repro.measure(network, images)`` and ``repro.MeasureCallback`` look at any network; ``repro.build(configuration)`` and
``repro.restore(run)`` give the Lightning parts of an experiment.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repro.api import build, restore
    from repro.measurements.run import measure
    from repro.training.measure_callback import MeasureCallback

__version__ = "0.1.0"
__all__ = ["MeasureCallback", "build", "measure", "restore"]

_WHERE = {
    "MeasureCallback": "repro.training.measure_callback",
    "build": "repro.api",
    "measure": "repro.measurements.run",
    "restore": "repro.api",
}


def __getattr__(name: str) -> Any:
    """Import what needs torch or Lightning when it is first asked for."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)
