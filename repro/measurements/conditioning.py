"""Condition numbers of weights, their gradients and updates, and of representations, outputs and error gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from torch import Tensor

from repro.measurements import passes
from repro.measurements.acting import gradients as gradients_of
from repro.measurements.probe import Probe
from repro.measurements.reading import Reading
from repro.measurements.updates import next_updates
from repro.networks import WeightLayer
from repro.spectra import Conditioning, cost, mode_conditioning, mode_conditionings


def weights(probe: Probe) -> Iterator[Reading]:
    """Conditioning of every mode of every layer's weight tensor (Oyedotun Fig. 7, 8, 10, 12)."""
    return _of_weights(probe, "weights", probe.weights)


def gradients(probe: Probe) -> Iterator[Reading]:
    """Conditioning of every mode of the gradient of every layer's weight (Oyedotun Eq. 24, Remarks 4 to 6)."""
    return _of_weights(probe, "gradients", probe.gradients)


def updates(probe: Probe) -> Iterator[Reading]:
    """Conditioning of W(t) − W(t−1), every mode, if the optimiser made its next step on the probe (Eq. 25, 26).

    Without an optimiser the update is a multiple of the gradient, and so are its singular values.
    """
    return _of_weights(probe, "updates", probe.gradients if probe.optimizer is None else next_updates(probe))


def _of_weights(probe: Probe, measurement: str, tensors: Mapping[int, Tensor]) -> Iterator[Reading]:
    layers = [layer for layer in probe.layers if layer.index in tensors]
    mine = [
        layers[index] for index in probe.ranks.assign([cost(tuple(tensors[layer.index].shape)) for layer in layers])
    ]
    conditionings = mode_conditionings([tensors[layer.index] for layer in mine], keep=probe.spectra)
    for layer, of_layer in zip(mine, conditionings, strict=True):
        for axis, mode in enumerate(layer.modes):
            name = probe.weight_name(layer)
            yield Reading(measurement, layer.index, name, mode, values(of_layer, axis), spectrum(of_layer, axis))


def representations(probe: Probe) -> Iterator[Reading]:
    """Conditioning of every mode of every representation (Oyedotun Definition 2; Fig. 9, 11, 13).

    Each is reduced while the forward pass stands at it, so that no more than one is held.
    """
    reduce = _Reduction(probe, "representations", shift=-1)
    probe.run(read=reduce)
    reduce.leave_out_the_unseen("hidden inside a fused kernel, or not one row a sample: what is read by")
    yield from reduce.readings()


def outputs(probe: Probe) -> Iterator[Reading]:
    """Conditioning of every mode of what every weight layer returns, before its normalisation and activation."""
    reduce = _Reduction(probe, "outputs", shift=0)
    probe.run(write=reduce)
    reduce.leave_out_the_unseen("hidden inside a fused kernel, or not one row a sample: what is returned by")
    yield from reduce.readings()


def errors(probe: Probe) -> Iterator[Reading]:
    """Conditioning of every mode of the error gradient of every representation, from 1 on (Δ of Eq. 23, Remarks 4, 5).

    The gradient of the loss over the probe, in training mode. Each is reduced while the backward pass stands at it.
    """
    reduce = _Reduction(probe, "errors", shift=-1)
    with probe.training(error=reduce) as loss:
        gradients_of(loss, [parameter for parameter in probe.network.parameters() if parameter.requires_grad])
    for layer in probe.layers[1:]:
        if layer.index not in reduce.seen:
            probe.leave_out("no error gradient reaches what is read by", layer)
    yield from reduce.readings()


class _Reduction:
    """Turns those tensors of a pass that are this rank's into readings as they come."""

    def __init__(self, probe: Probe, measurement: str, *, shift: int) -> None:
        self._measurement = measurement
        self._shift = shift  # a representation bears the number of the layer before the one that reads it
        self._probe = probe
        self._mine = probe.ranks.dealer()
        self._by_layer: dict[int, list[Reading]] = {}
        self.seen: set[int] = set()
        """Numbers of the layers whose tensors have come, whichever rank reduces them."""

    def __call__(self, layer: WeightLayer, tensor: Tensor) -> None:
        self.seen.add(layer.index)
        if not self._mine(cost(tuple(tensor.shape))):
            return
        tensor = tensor.detach()
        result = mode_conditioning(passes.by_sample(tensor, self._probe.samples), keep=self._probe.spectra)
        names = passes.modes(layer, len(result.rank), folded=len(result.rank) > tensor.ndim)
        number = layer.index + self._shift
        self._by_layer[number] = [
            Reading(self._measurement, number, layer.name, mode, values(result, axis), spectrum(result, axis))
            for axis, mode in enumerate(names)
        ]

    def leave_out_the_unseen(self, reason: str) -> None:
        for layer in self._probe.layers:
            if layer.index not in self.seen:
                self._probe.leave_out(reason, layer)

    def readings(self) -> Iterator[Reading]:
        for number in sorted(self._by_layer):
            yield from self._by_layer[number]


def spectrum(conditioning: Conditioning, index: int) -> np.ndarray | None:
    """All singular values of one entry of a `Conditioning`, if they were kept."""
    return None if conditioning.values is None else conditioning.values[index].numpy().astype(np.float32)


def values(conditioning: Conditioning, index: int) -> dict[str, float]:
    """One entry of a `Conditioning` as a reading's quantities."""
    return {
        "condition_number": float(conditioning.condition_number[index]),
        "sigma_max": float(conditioning.sigma_max[index]),
        "sigma_min": float(conditioning.sigma_min[index]),
        "rank": float(conditioning.rank[index]),
    }
