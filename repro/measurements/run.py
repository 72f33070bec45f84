"""Measurements on a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from repro.importing import load
from repro.measurements.probe import Measurement, Probe, looking
from repro.measurements.reading import Reading
from repro.measurements.registry import MEASUREMENTS, check
from repro.networks import weight_layers


def measure(
    network: nn.Module,
    images: Float[Tensor, "batch channels height width"],
    labels: Int[Tensor, " batch"],
    *,
    measurements: Sequence[str] = ("weights", "representations"),
    mode: Literal["eval", "train"] = "eval",
) -> list[Reading]:
    """Take measurements on a network, which they leave as it was.

    Args:
        network: Any network that maps images to class scores.
        images: The probe, as the network reads it, on its device.
        labels: The probe's classes.
        measurements: Names in `MEASUREMENTS`.
        mode: Normalise by running statistics (``eval``) or by the probe's own (``train``).

    Raises:
        UserError: For an unknown measurement.
    """
    check(measurements)
    readings: list[Reading] = []
    with looking(network, mode):
        layers = weight_layers(network, images)
        probe = Probe(network=network, layers=layers, images=images, labels=labels)
        for name in measurements:
            take: Measurement = load(MEASUREMENTS[name])
            readings += take(probe)
    return readings
