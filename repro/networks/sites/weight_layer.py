"""One product with a weight in a forward pass, and what its weight is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from repro.networks.sites.layout import Layout
from repro.networks.sites.slices import View


@dataclass(frozen=True)
class WeightLayer:
    """One product with a weight in a forward pass: a convolution, a linear layer, a projection of attention ..."""

    index: int
    """From 1, in forward order."""
    name: str
    """The module as in ``network.named_modules()``, or the parameter; ``name#2`` where it is used a second time."""
    module: nn.Module
    """The module that multiplies."""
    kind: str = "linear"
    """As `repro.networks.products.Product.kind`."""
    modes: tuple[str, ...] = ("output", "input")
    """What each axis of its weight is."""
    channel: int = -1
    """The axis of what it reads that its weight sums over."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """A convolution's stride, padding, dilation and so on."""
    parameter: nn.Parameter | None = None
    """The parameter that acts as it is; None for a weight that every pass makes anew."""
    view: View | None = None
    """Shape, strides and offset of the part of the parameter that acts; None for the whole."""
    first: int = 0
    """Number of the first layer with the same weight; its own if it is that."""
    layout: Layout = "first"
    """Where the samples are in what it reads and returns."""
    sources: frozenset[int] = frozenset()
    """Identities of the parameters that the weight is made of."""
    tokens_first: bool = False
    """Whether the operation takes the tokens before the samples; `layout` is then of its operands turned about."""
    frozen: bool = False
    """Whether no matrix that the weight is made of trained when the network was surveyed."""
    shape: tuple[int, ...] | None = None
    """That of the weight in the pass that found it; None if there was none."""

    def fits(self, weight: Tensor) -> bool:
        """Whether a weight has the axes that this layer's had when it was found."""
        return len(self.modes) == weight.ndim and self.shape in (None, tuple(weight.shape))

    def part(self, tensor: Tensor) -> Tensor:
        """What is this layer's of a tensor like its parameter (the parameter itself, its gradient, its update)."""
        if self.view is None:
            return tensor
        assert self.parameter is not None
        shape, strides, offset = self.view
        if tensor.stride() != self.parameter.stride():
            tensor = tensor.new_empty_strided(tensor.shape, self.parameter.stride()).copy_(tensor)
        return tensor.as_strided(shape, strides, tensor.storage_offset() + offset)


def sources_of(layers: Sequence[WeightLayer]) -> frozenset[int]:
    """Identities of the parameters that the layers' weights are made of."""
    return frozenset().union(*(layer.sources for layer in layers))


def trained_sources(layers: Sequence[WeightLayer]) -> frozenset[int]:
    """The same of the layers that trained."""
    return sources_of([layer for layer in layers if not layer.frozen])


def own_parameters(network: nn.Module) -> dict[int, nn.Parameter]:
    """A network's parameters by identity."""
    return {id(parameter): parameter for parameter in network.parameters()}


def is_frozen(sources: Iterable[int], own: Mapping[int, nn.Parameter]) -> bool:
    """Whether there are matrices among these sources and none of them trains."""
    matrices = [own[number] for number in sources if number in own and own[number].ndim > 1]
    return bool(matrices) and not any(parameter.requires_grad for parameter in matrices)
