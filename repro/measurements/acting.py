"""What acts as a layer's weight in a pass, and its gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.nn.utils import parametrize

from repro.errors import UserError, first_line
from repro.networks import WeightLayer


@dataclass(frozen=True)
class Acts:
    """What is multiplied in a pass, and the axes along which it only repeats the weight."""

    tensor: Tensor
    repeated: tuple[int, ...] = ()

    def own(self, gradient: Tensor) -> Tensor:
        """The gradient of the weight: of all its copies."""
        return gradient.sum(self.repeated) if self.repeated else gradient


@contextmanager
def calls() -> Iterator[set[nn.Module]]:
    """Gathers the modules that are called meanwhile."""
    called: set[nn.Module] = set()
    hook = register_module_forward_pre_hook(lambda module, _: called.add(module))
    try:
        yield called
    finally:
        hook.remove()


def made_anew(layers: Sequence[WeightLayer], called: set[nn.Module]) -> set[int]:
    """First numbers of the weights that these modules make again when they are called again."""
    makes = [layer for layer in layers if layer.module in called and trained_parameter(layer) is None]
    return {layer.first for layer in makes if not parametrize.is_parametrized(layer.module)}  # those are kept


def once(uses: Sequence[Acts]) -> list[Acts]:
    """The uses whose gradients add up to the weight's: not a tensor's second, nor one whose tensor is made of it."""
    tensors = {id(acts.tensor): acts for acts in uses}
    if len(tensors) < 2:
        return list(tensors.values())
    nodes = {acts.tensor.grad_fn for acts in tensors.values()} - {None}
    return [acts for acts in tensors.values() if not nodes & _ancestors(acts.tensor)]


def _ancestors(tensor: Tensor) -> set[Any]:
    """The operations that a tensor was made by, without the last."""
    found: set[Any] = set()
    waiting = [tensor.grad_fn]
    while waiting:
        node = waiting.pop()
        before = {each for each, _ in node.next_functions if each is not None} - found if node is not None else set()
        found |= before
        waiting += before
    return found


def standing(layer: WeightLayer) -> Tensor | None:
    """The weight that acts, where no pass is needed to make it."""
    if layer.parameter is not None:
        return layer.part(layer.parameter.detach())
    effective = getattr(layer.module, "effective_weight", None)
    if effective is None:
        return None
    weight: Tensor = effective()
    return weight.detach()


def trained_parameter(layer: WeightLayer) -> nn.Parameter | None:
    """The parameter whose gradient is the weight's; for a DiracNet it is W, without the diagonal."""
    if layer.parameter is None and hasattr(layer.module, "effective_weight"):
        return layer.module._parameters.get("weight")
    return layer.parameter


def gradients(loss: Float[Tensor, ""], tensors: Sequence[Tensor]) -> Sequence[Tensor | None]:
    """Gradients of a loss, None for what it does not depend on; `UserError` if the backward pass fails."""
    if not tensors or not loss.requires_grad:
        return [None] * len(tensors)
    try:
        return torch.autograd.grad(loss, tensors, allow_unused=True)
    except RuntimeError as error:
        raise UserError(f"the backward pass fails ({first_line(error)}); measure what needs no gradient") from error
