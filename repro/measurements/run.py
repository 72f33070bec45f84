"""Measurements on a network."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.optim import Optimizer

from repro.distributed.share import Share
from repro.errors import UserError
from repro.measurements.probe import Probe, measurement_mode
from repro.measurements.reading import Reading, table
from repro.measurements.registry import CHOSEN, DEFAULT, MEASUREMENTS, check
from repro.networks import WeightLayer, weight_layers

if TYPE_CHECKING:
    import pandas as pd

_NAMED = 8
"""Layers that a warning names."""


def take(
    network: nn.Module,
    images: Float[Tensor, "batch channels height width"],
    labels: Int[Tensor, " batch"] | None = None,
    *,
    held_out: Float[Tensor, "others channels height width"] | None = None,
    optimizer: Optimizer | None = None,
    measurements: Sequence[str] = DEFAULT,
    layers: Sequence[int] = CHOSEN,
    mode: str = "eval",
    share: Share | None = None,
    known: Sequence[WeightLayer] | None = None,
) -> list[Reading]:
    """Take measurements on a network, which they leave as it was.

    Args:
        network: Any network that maps images to class scores.
        images: The probe, as the network reads it, on its device.
        labels: The probe's classes. Needed for gradients, updates and errors.
        held_out: As many images that the network is not trained on. Needed for amplification.
        optimizer: The network's optimiser, for the update that it would make; it is not touched.
        measurements: Names in `MEASUREMENTS`.
        layers: Numbers of the weight layers whose distributions are taken, from 1; negative ones count from the end.
        mode: Normalise by running statistics (``eval``) or by the probe's own (``train``).
        share: This rank's part of the work where several hold the same network; every rank gets all readings.
        known: The network's weight layers, as `repro.networks.weight_layers` gives them, if they are known: spares the
            pass of one image that finds them.

    Raises:
        UserError: For an unknown measurement or mode, one that lacks what it needs, another network's optimiser, or a
            layer that does not exist.
    """
    check(measurements)
    share = share or Share()
    readings: list[Reading] = []
    network = getattr(network, "_orig_mod", network)  # what torch.compile wraps
    with measurement_mode(network, mode):
        share.broadcast_buffers(network)
        found = list(known) if known is not None else weight_layers(network, images)
        probe = Probe(
            network=network,
            layers=found,
            images=images,
            labels=labels,
            held_out=held_out,
            optimizer=optimizer,
            chosen=_choose(found, layers) if "distributions" in measurements else [],
            share=share,
        )
        for name in measurements:
            readings += share.gather(list(MEASUREMENTS[name].readings(probe)), lambda reading: reading.layer)
            network.train(mode == "train")
    for reason, names in probe.left_out.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        warnings.warn(f"not measured: {reason} {', '.join(names[:_NAMED])}{more}", stacklevel=2)
    return readings


def measure(
    network: nn.Module,
    images: Float[Tensor, "batch channels height width"],
    labels: Int[Tensor, " batch"] | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Measure any network on a batch of images: conditioning of its weights and representations, or what is asked for.

    The network is left as it was: parameters, buffers, gradients, modes and random generators.

    Args:
        network: Any network that maps images to class scores.
        images: Images as the network reads them, on its device.
        labels: Their classes. Needed for gradients, updates and errors.
        **options: As of `take`: ``measurements``, ``held_out``, ``optimizer``, ``layers``, ``mode``.

    Returns:
        Columns measurement, layer, name, mode, quantity, value; one row a number.

    Raises:
        UserError: For an unknown measurement, one that lacks what it needs, or a layer that does not exist.
    """
    return table(take(network, images, labels, **options))


def _choose(layers: Sequence[WeightLayer], numbers: Sequence[int]) -> list[WeightLayer]:
    """Layers by number, each once, in forward order; in a network too short for the default, those that there are."""
    count = len(layers)
    default = tuple(numbers) == CHOSEN
    found = set()
    for number in numbers:
        if 1 <= abs(number) <= count:
            found.add(number if number > 0 else count + 1 + number)
        elif not default:
            raise UserError(f"no layer {number}: the network has {count} weight layers, 1 to {count} or -{count} to -1")
    return [layers[number - 1] for number in sorted(found)]
