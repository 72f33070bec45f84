"""Condition numbers of weights and of hidden representations (Oyedotun Eq. 8, by HOSVD as in 6.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from repro.measurements.probe import Probe
from repro.measurements.reading import Reading
from repro.spectra import Conditioning, mode_conditioning, mode_conditionings

WEIGHT_MODES = ("output", "input", "height", "width")
REPRESENTATION_MODES = {2: ("matrix", "channel"), 3: ("matrix", "token", "channel")}
"""Axes of a representation by its number of axes; one of four is an image's.

The mode of the samples is the matrix of Definition 2, n x N with one column a sample: an unfolding and its transpose
have the same singular values.
"""
IMAGE_MODES = ("matrix", "channel", "height", "width")


def _modes(axes: int, named: Sequence[str]) -> list[str]:
    return [named[axis] if axis < len(named) else f"mode{axis}" for axis in range(axes)]


def _values(found: Conditioning, index: int) -> dict[str, float]:
    return {
        "condition_number": float(found.condition_number[index]),
        "sigma_max": float(found.sigma_max[index]),
        "sigma_min": float(found.sigma_min[index]),
        "rank": float(found.rank[index]),
    }


def weight(module: nn.Module) -> Tensor:
    """A weight layer's weight as it acts on its input (a DiracNet's W + diag(a), Oyedotun Eq. 28)."""
    effective: Any = getattr(module, "effective_weight", None)
    tensor = effective() if effective is not None else module.weight
    assert isinstance(tensor, Tensor)
    return tensor.detach()


def weights(probe: Probe) -> Iterator[Reading]:
    """Conditioning of every mode of every layer's weight tensor (Oyedotun Fig. 7, 8, 10, 12)."""
    tensors = [weight(layer.module) for layer in probe.layers]
    for layer, found in zip(probe.layers, mode_conditionings(tensors), strict=True):
        for axis, mode in enumerate(_modes(len(found.rank), WEIGHT_MODES)):
            yield Reading("weights", layer.index, layer.name, mode, _values(found, axis))


def representations(probe: Probe) -> Iterator[Reading]:
    """Conditioning of every mode of every representation (Oyedotun Definition 2; Fig. 9, 11, 13).

    Representation l is what weight layer l + 1 reads: after normalisation and activation, and, where a block ends
    there, after the addition. Each is reduced while the forward pass stands at it, so that no more than one is held.
    """
    found: dict[int, list[Reading]] = {}

    def reduce(number: int, name: str, tensor: Tensor) -> None:
        result = mode_conditioning(tensor)
        modes = _modes(tensor.ndim, REPRESENTATION_MODES.get(tensor.ndim, IMAGE_MODES))
        found[number] = [
            Reading("representations", number, name, mode, _values(result, axis)) for axis, mode in enumerate(modes)
        ]

    hooks = [
        layer.module.register_forward_pre_hook(
            lambda _module, inputs, number=layer.index - 1, name=layer.name: reduce(number, name, inputs[0].detach())
        )
        for layer in probe.layers
    ]
    try:
        probe.network(probe.images)
    finally:
        for hook in hooks:
            hook.remove()
    for number in sorted(found):
        yield from found[number]
