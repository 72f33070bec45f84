"""What an optimiser's next step would do to the weights that act."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Optimizer

from repro.errors import UserError, first_line
from repro.measurements import passes
from repro.measurements.acting import trained_parameter
from repro.measurements.probe import Probe
from repro.networks import WeightLayer
from repro.networks.nested import mapped
from repro.networks.preserve_state import preserve_state
from repro.networks.sites.slices import overlapping

Step = Mapping[int, tuple[Tensor, Tensor]]
"""Parameters before and after, in float64, by the parameter's identity."""


_HOOKS = "what hooks or a replaced step do to gradients and weights (as clipping does), in the updates of"


def next_updates(probe: Probe) -> dict[int, Tensor]:
    """W(t) − W(t−1) of each layer's weight, by number, if the optimiser made its next step on the probe.

    The step is made by a copy of the optimiser, with its momentum and penalty, on copies of the parameters in float64,
    so that rounding of W does not hide a singular update. A weight that is made of parameters (normalised,
    parametrised) is made anew of both, in float64. `UserError` if the optimiser is another network's, or its step needs
    more than gradients.
    """
    optimizer = probe.optimizer
    assert optimizer is not None
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    in_optimizer = {id(parameter) for parameter in trained}
    if probe.gradients and not in_optimizer & {id(parameter) for parameter in probe.network.parameters()}:
        raise UserError("the optimizer has no parameter of this network; pass the one that trains it")
    shared, hooked = overlapping(trained), _hooked(optimizer)
    direct: dict[int, nn.Parameter] = {}
    made: list[WeightLayer] = []
    for layer in probe.firsts:
        parameter = trained_parameter(layer)
        own = layer.sources if parameter is None else {id(parameter)}
        if layer.index not in probe.gradients:
            continue
        if not in_optimizer & own:
            probe.leave_out("the optimiser does not have the weights of", layer)
        elif shared & own:
            probe.leave_out("updates: another parameter lies in the same memory as the weights of", layer)
        elif parameter is None:
            made.append(layer)
        else:
            direct[layer.index] = parameter
        if hooked & {0, *own}:
            probe.leave_out(_HOOKS, layer)
    needed = {id(parameter) for parameter in direct.values()}.union(*(layer.sources for layer in made))
    step = _step(probe, optimizer, needed)
    # In the weights' own precision: its infinity rule is the one that applies.
    changes = {
        index: probe.layers[index - 1].part((step[id(weight)][1] - step[id(weight)][0]).to(weight.dtype))
        for index, weight in direct.items()
    }
    return dict(sorted({**changes, **(_of_made(probe, made, step) if made else {})}.items()))


def _hooked(optimizer: Optimizer) -> set[int]:
    """Identities of the parameters whose gradients hooks change as they are added up; 0: hooks change every step."""
    step = vars(optimizer).get("step")
    replaced = step is not None and not hasattr(step, "_wrapped_by_lr_sched")
    hooks = vars(optimizer).get("_optimizer_step_pre_hooks") or vars(optimizer).get("_optimizer_step_post_hooks")
    by_parameter = [
        id(parameter)
        for group in optimizer.param_groups
        for parameter in group["params"]
        if getattr(parameter, "_post_accumulate_grad_hooks", None)
    ]
    return {*by_parameter, *([0] if replaced or hooks else [])}


def _step(probe: Probe, optimizer: Optimizer, needed: set[int]) -> Step:
    try:
        return _stepped(probe, optimizer, copy.deepcopy(optimizer), needed)
    except Exception as error:  # it wants a closure, takes no float64, or has more than its state and groups
        kind = type(optimizer).__name__
        raise UserError(f"updates cannot be taken of {kind} ({first_line(error)}); measure gradients") from error


def _stepped(probe: Probe, optimizer: Optimizer, twin: Optimizer, needed: set[int]) -> Step:
    before: dict[int, tuple[Tensor, Tensor]] = {}
    doubles: list[Tensor] = []
    for group, of_twin in zip(optimizer.param_groups, twin.param_groups, strict=True):
        for parameter, double in zip(group["params"], of_twin["params"], strict=True):
            double.grad = None
            if id(parameter) not in probe.by_parameter:
                continue
            double.data = _double(double.data)
            double.grad = _double(probe.by_parameter[id(parameter)]).clone()  # some optimisers change it in place
            state = twin.state.get(double, {})
            for key, value in state.items():
                if isinstance(value, Tensor) and value.is_floating_point() and value.shape == double.shape:
                    state[key] = value.double()
            doubles.append(double)
            if id(parameter) in needed:
                before[id(parameter)] = double.detach().clone(), double
    if probe.clip is not None:
        probe.clip(doubles)
    twin.step()
    return {number: (old, after.detach()) for number, (old, after) in before.items()}


def _double(tensor: Tensor) -> Tensor:
    return tensor.to(torch.complex128) if tensor.is_complex() else tensor.double()


def _of_made(probe: Probe, layers: list[WeightLayer], step: Step) -> dict[int, Tensor]:
    """The change of weights that are computed from parameters, in training mode and float64, before and after."""
    try:
        old, new = (_made(probe, layers, step, after) for after in (0, 1))
    except (RuntimeError, TypeError, ValueError):
        for layer in layers:
            probe.leave_out("updates: the network does not run in float64, which is needed for the weights of", layer)
        return {}
    return {number: (new[number] - weight).to(probe.gradients[number].dtype) for number, weight in old.items()}


def _made(probe: Probe, layers: list[WeightLayer], step: Step, after: int) -> dict[int, Tensor]:
    weights: dict[int, Tensor] = {}

    def keep(layer: WeightLayer, tensor: Tensor) -> None:
        weights[layer.index] = tensor.detach().clone()

    def double(tensor: Tensor) -> Tensor:
        return tensor.double() if tensor.is_floating_point() else tensor.clone()

    once: dict[int, Tensor] = {}
    parameters = {
        name: once.setdefault(id(tensor), step[id(tensor)][after] if id(tensor) in step else tensor.detach().double())
        for name, tensor in probe.network.named_parameters(remove_duplicate=False)
    }
    everything = {**parameters, **{name: double(tensor).clone() for name, tensor in probe.network.named_buffers()}}

    def stands_for(*args: Any, **kwargs: Any) -> Any:
        return functional_call(probe.network, everything, args, kwargs)

    with preserve_state(probe.network):
        probe.network.train()
        inputs = mapped(double, probe.inputs)
        passes.run(probe.network, inputs, layers, weight=keep, function=stands_for, parameters=parameters)
    return weights
