"""Condition numbers of weights, their gradients and updates, and of representations, outputs and error gradients."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from repro.errors import UserError
from repro.measurements import passes
from repro.measurements.probe import Probe
from repro.measurements.reading import Reading
from repro.networks import WeightLayer
from repro.spectra import Conditioning, cost, mode_conditioning, mode_conditionings


def _weight_modes(axes: int) -> tuple[str, ...]:
    kernel = ("depth", "height", "width") if axes == 5 else ("height", "width")
    return ("output", "input", *kernel)[:axes]


def weight(module: nn.Module) -> Tensor:
    """A weight layer's weight as it acts on its input (a DiracNet's W + diag(a), Oyedotun Eq. 28)."""
    effective = getattr(module, "effective_weight", None)
    tensor = effective() if effective is not None else module.weight
    assert isinstance(tensor, Tensor)
    return tensor.detach()


def weights(probe: Probe) -> Iterator[Reading]:
    """Conditioning of every mode of every layer's weight tensor (Oyedotun Fig. 7, 8, 10, 12)."""
    return _of_weights(probe, "weights", {layer.index: weight(layer.module) for layer in probe.layers})


def gradients(probe: Probe) -> Iterator[Reading]:
    """Conditioning of every mode of the gradient of every layer's weight (Oyedotun Eq. 24, Remarks 4 to 6)."""
    return _of_weights(probe, "gradients", probe.gradients)


def updates(probe: Probe) -> Iterator[Reading]:
    """Conditioning of W(t) − W(t−1), every mode, if the optimiser made its next step on the probe (Eq. 25, 26).

    The step is made by a copy of the optimiser, with its momentum and penalty, on copies of the weights in float64, so
    that rounding of W does not hide a singular update. Without an optimiser the update is a multiple of the gradient,
    and so are its singular values.
    """
    return _of_weights(probe, "updates", _updates(probe))


def _updates(probe: Probe) -> dict[int, Tensor]:
    if probe.optimizer is None:
        return probe.gradients
    numbers = _optimised(probe, probe.optimizer)
    twin = copy.deepcopy(probe.optimizer)
    before: dict[int, tuple[Tensor, Tensor]] = {}
    for group, of_twin in zip(probe.optimizer.param_groups, twin.param_groups, strict=True):
        for parameter, double in zip(group["params"], of_twin["params"], strict=True):
            double.grad = None
            if id(parameter) not in numbers:
                continue
            double.data = double.data.double()
            number = numbers[id(parameter)]
            double.grad = probe.gradients[number].to(torch.float64, copy=True)  # some optimisers change it in place
            state = twin.state.get(double, {})
            for key, value in state.items():
                if isinstance(value, Tensor) and value.is_floating_point() and value.shape == double.shape:
                    state[key] = value.double()
            before[number] = double.detach().clone(), double
    try:
        twin.step()
    except (TypeError, RuntimeError) as error:  # it wants a closure, or takes no float64
        reason = next(iter(str(error).splitlines()), "no message")
        raise UserError(f"updates cannot be taken of {type(twin).__name__} ({reason}); measure gradients") from error
    # In the weights' own precision: its infinity rule is the one that applies.
    return {number: (after.detach() - old).to(probe.gradients[number].dtype) for number, (old, after) in before.items()}


def _optimised(probe: Probe, optimizer: Optimizer) -> dict[int, int]:
    """The numbers of the layers whose weights an optimiser has, by the identity of the parameter.

    Raises:
        UserError: It has none of them.
    """
    own = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    numbers = {}
    for layer in probe.layers:
        if layer.index not in probe.gradients:
            continue
        parameter = layer.module._parameters.get("weight")
        if parameter is None:
            probe.leave_out("the optimiser does not update, but what they are made of, the weights of", layer)
        elif id(parameter) not in own:
            probe.leave_out("the optimiser does not have the weights of", layer)
        else:
            numbers[id(parameter)] = layer.index
    if probe.gradients and not own & {id(parameter) for parameter in probe.network.parameters()}:
        raise UserError("the optimizer has no parameter of this network; pass the one that trains it")
    return numbers


def _of_weights(probe: Probe, measurement: str, tensors: Mapping[int, Tensor]) -> Iterator[Reading]:
    layers = [layer for layer in probe.layers if layer.index in tensors]
    mine = [
        layers[place] for place in probe.share.assign([cost(tuple(tensors[layer.index].shape)) for layer in layers])
    ]
    for layer, found in zip(mine, mode_conditionings([tensors[layer.index] for layer in mine]), strict=True):
        for axis, mode in enumerate(_weight_modes(len(found.rank))):
            yield Reading(measurement, layer.index, layer.name, mode, values(found, axis))


def representations(probe: Probe) -> Iterator[Reading]:
    """Conditioning of every mode of every representation (Oyedotun Definition 2; Fig. 9, 11, 13).

    Each is reduced while the forward pass stands at it, so that no more than one is held.
    """
    reduce = _Reduction(probe, "representations", shift=-1)
    with passes.reading(probe.layers, reduce):
        probe.scores()
    yield from reduce.readings()


def outputs(probe: Probe) -> Iterator[Reading]:
    """Conditioning of every mode of what every weight layer returns, before its normalisation and activation."""
    reduce = _Reduction(probe, "outputs", shift=0)
    with passes.writing(probe.layers, reduce):
        probe.scores()
    yield from reduce.readings()


def errors(probe: Probe) -> Iterator[Reading]:
    """Conditioning of every mode of the error gradient of every representation, from 1 on (Δ of Eq. 23, Remarks 4, 5).

    The gradient of the mean cross-entropy over the probe, in training mode. Each is reduced while the backward pass
    stands at it.
    """
    reduce = _Reduction(probe, "errors", shift=-1)

    def watch(layer: WeightLayer, tensor: Tensor) -> None:
        if tensor.requires_grad:
            tensor.register_hook(partial(reduce, layer))

    with passes.reading(probe.layers, watch), probe.training() as loss:
        leaves = [parameter for parameter in probe.network.parameters() if parameter.requires_grad]
        torch.autograd.grad(loss, leaves, allow_unused=True)
    for layer in probe.layers[1:]:
        if layer.index not in reduce.seen:
            probe.leave_out("no error gradient reaches what is read by", layer)
    yield from reduce.readings()


class _Reduction:
    """Turns the tensors of a pass into readings as they come, those that are this rank's."""

    def __init__(self, probe: Probe, measurement: str, *, shift: int) -> None:
        self._measurement = measurement
        self._shift = shift  # a representation bears the number of the layer before the one that reads it
        self._samples = len(probe.images)
        self._mine = probe.share.dealer()
        self._found: dict[int, list[Reading]] = {}
        self.seen: set[int] = set()
        """Numbers of the layers whose tensors have come, whichever rank reduces them."""

    def __call__(self, layer: WeightLayer, tensor: Tensor) -> None:
        self.seen.add(layer.index)
        if not self._mine(cost(tuple(tensor.shape))):
            return
        found = mode_conditioning(passes.by_sample(tensor.detach(), self._samples))
        names = passes.modes(layer, len(found.rank), folded=len(found.rank) > tensor.ndim)
        number = layer.index + self._shift
        self._found[number] = [
            Reading(self._measurement, number, layer.name, mode, values(found, axis)) for axis, mode in enumerate(names)
        ]

    def readings(self) -> Iterator[Reading]:
        for number in sorted(self._found):
            yield from self._found[number]


def values(found: Conditioning, index: int) -> dict[str, float]:
    """One entry of a `Conditioning` as a reading's quantities."""
    return {
        "condition_number": float(found.condition_number[index]),
        "sigma_max": float(found.sigma_max[index]),
        "sigma_min": float(found.sigma_min[index]),
        "rank": float(found.rank[index]),
    }
