"""Reproduce, extend and check two papers on why skip connections make very deep networks trainable.

``repro.measure(network, images)`` and ``repro.MeasureCallback`` look at any network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repro.measurements.run import measure
    from repro.training.measuring import MeasureCallback

__version__ = "0.1.0"
__all__ = ["MeasureCallback", "measure"]


def __getattr__(name: str) -> Any:
    """Import what needs torch or Lightning when it is first asked for."""
    if name == "measure":
        from repro.measurements.run import measure

        return measure
    if name == "MeasureCallback":
        from repro.training.measuring import MeasureCallback

        return MeasureCallback
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
