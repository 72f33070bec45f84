"""The measurements by name. Does not import torch."""

from __future__ import annotations

from collections.abc import Iterable

from repro.errors import unknown

MEASUREMENTS: dict[str, str] = {
    "weights": "repro.measurements.conditioning:weights",
    "representations": "repro.measurements.conditioning:representations",
}
"""Import path of each measurement (`repro.measurements.Measurement`)."""


def check(names: Iterable[str]) -> None:
    """Refuse a name that is not a measurement's; `UserError` names the nearest."""
    for name in names:
        if name not in MEASUREMENTS:
            raise unknown("measurement", name, MEASUREMENTS)
