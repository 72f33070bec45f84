"""What a measurement yields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Reading:
    """The values of one measurement for one layer in one mode."""

    measurement: str
    """The measurement's name in `MEASUREMENTS`."""
    layer: int
    """Number of the weight layer, 1..L in forward order. Representation l is the input of layer l + 1."""
    name: str
    """Name of the weight layer's module; for a representation, of the module that reads it."""
    mode: str
    """Which unfolding of the tensor; empty if there is none."""
    values: Mapping[str, float]
    """Values by quantity; they may be infinite or NaN."""
    spectrum: np.ndarray | None = field(default=None, compare=False, repr=False)
    """All singular values, descending, if they are kept."""

    def as_dict(self) -> dict[str, Any]:
        """The reading as plain values, in the order of the record; the spectrum has a file of its own."""
        return {**self._key(), "values": dict(self.values)}

    def spectrum_dict(self) -> dict[str, Any]:
        """The spectrum and what it belongs to, for its file."""
        return {**self._key(), "singular_values": self.spectrum}

    def _key(self) -> dict[str, Any]:
        return {"measurement": self.measurement, "layer": self.layer, "name": self.name, "mode": self.mode}


def table(readings: Iterable[Reading]) -> pd.DataFrame:
    """Readings as a long table: measurement, layer, name, mode, quantity, value, and kind.

    The kind of a κ tells the two kinds of infinite apart (`repro.measurements.kappa.kind`); other rows have none.
    """
    import pandas as pd

    from repro.measurements.kappa import kind

    rows = [
        (reading.measurement, reading.layer, reading.name, reading.mode, quantity, value)
        for reading in readings
        for quantity, value in reading.values.items()
    ]
    frame = pd.DataFrame(rows, columns=["measurement", "layer", "name", "mode", "quantity", "value"])
    return frame.assign(kind=kind(frame))
