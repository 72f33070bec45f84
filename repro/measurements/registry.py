"""The measurements by name. Does not import torch."""

from __future__ import annotations

from collections.abc import Iterable

from repro.errors import unknown

MEASUREMENTS: dict[str, str] = {
    "weights": "repro.measurements.conditioning:weights",
    "representations": "repro.measurements.conditioning:representations",
    "outputs": "repro.measurements.conditioning:outputs",
    "gradients": "repro.measurements.conditioning:gradients",
    "updates": "repro.measurements.conditioning:updates",
    "errors": "repro.measurements.conditioning:errors",
    "distributions": "repro.measurements.distributions:distributions",
    "amplification": "repro.measurements.geometry:amplification",
    "distance": "repro.measurements.geometry:distance",
    "diagonals": "repro.measurements.dirac:diagonals",
    "features": "repro.measurements.skip_features:features",
}
"""Import path of each measurement (`repro.measurements.Measurement`)."""

DEFAULT = ("weights", "representations")
"""What is measured where nothing else is asked for."""

CHOSEN = (1, -3)
"""Layers whose distributions are taken: the first and the third from last, 1 and 108 of 110 as in Oyedotun Fig. 4."""


def check(names: Iterable[str]) -> None:
    """Refuse a name that is not a measurement's; `UserError` names the nearest."""
    for name in names:
        if name not in MEASUREMENTS:
            raise unknown("measurement", name, MEASUREMENTS)
