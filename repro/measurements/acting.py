"""What acted in a pass as a layer's weight, so that its gradient can be asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Acts:
    """What is multiplied in a pass, and the axes along which it only repeats the weight."""

    tensor: Tensor
    repeated: tuple[int, ...] = ()

    def own(self, gradient: Tensor) -> Tensor:
        """The gradient of the weight: of all its copies."""
        return gradient.sum(self.repeated) if self.repeated else gradient


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
