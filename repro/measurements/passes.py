"""Listening to a pass through a network: what each weight layer reads and writes, and their error gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from repro.networks import WeightLayer
from repro.networks.layers import ListsWeightLayers
from repro.networks.nested import plain
from repro.networks.passing import Inputs, call, samples
from repro.networks.products import KERNEL, Product
from repro.networks.sites.layout import batch_first, rows_of, samples_first
from repro.networks.tracer import Tracer, Use

See = Callable[[WeightLayer, Tensor], None]


def run(
    network: nn.Module,
    inputs: Inputs,
    layers: Iterable[WeightLayer],
    *,
    read: See | None = None,
    write: See | None = None,
    error: See | None = None,
    weight: See | None = None,
    multiply: Callable[[WeightLayer, Product], None] | None = None,
    others: Callable[[str], None] | None = None,
    function: Callable[..., Any] | None = None,
    parameters: Mapping[str, Tensor] | None = None,
) -> Any:
    """A forward pass, in which some weight layers are listened to while the pass stands at them.

    What layer l + 1 reads is representation l: after normalisation and activation, and, where a block ends there,
    after the addition.

    Args:
        network: The network.
        inputs: What it takes.
        layers: The layers that are listened to.
        read: Shown what each reads, with the samples first.
        write: Shown what each returns, before any normalisation or activation.
        error: Shown the gradient of what each reads, in a backward pass.
        weight: Shown the weight that acts.
        multiply: Shown the product.
        others: Told the names of products that are none of these layers.
        function: What stands for the network in this pass.
        parameters: What stands for its parameters in this pass, by name.

    Returns:
        What the network returns.
    """
    by_name = {layer.name: layer for layer in layers}
    count = samples(inputs)

    def order(layer: WeightLayer, use: Use) -> Callable[[Tensor], Tensor]:  # holds no tensor of the pass
        return partial(samples_first, layout=layer.layout, count=count, batch=use.product.batch)

    def by_rows(layer: WeightLayer, use: Use, tensor: Tensor) -> bool:
        return tensor.ndim > 0 and rows_of(batch_first(tensor, use.product.batch), layer.layout, count)

    def before(use: Use) -> None:
        layer = by_name.get(use.name)
        if layer is None:
            if others is not None:
                others(use.name)
            return
        if weight is not None:
            weight(layer, use.product.weight)
        if multiply is not None:
            multiply(layer, use.product)
        tensor = use.product.read
        if tensor is None or not by_rows(layer, use, tensor):
            return
        if read is not None:
            read(layer, order(layer, use)(tensor))
        if error is not None and tensor.requires_grad:
            tensor.register_hook(partial(_arranged, error, layer, order(layer, use)))

    def after(use: Use, result: Tensor) -> None:
        layer = by_name.get(use.name)
        read = use.product.read
        if layer is None or write is None or read is None or not by_rows(layer, use, read):
            return
        axis = 1 if layer.layout == "second" else 0
        if result.ndim > axis and result.shape[axis] == read.shape[axis]:
            write(layer, order(layer, use)(result))

    only = [layer.module for layer in by_name.values()] if isinstance(network, ListsWeightLayers) else None
    tracer = Tracer(network, before, after, parameters=parameters, only=only)
    return call(function or network, inputs, tracer)


def _arranged(see: See, layer: WeightLayer, order: Callable[[Tensor], Tensor], gradient: Tensor) -> None:
    if plain(gradient):
        see(layer, order(gradient))


def by_sample(tensor: Tensor, samples: int) -> Tensor:
    """The tensor with the samples as its first axis: windows and tokens that were folded into it become the second."""
    if len(tensor) != samples and samples and len(tensor) % samples == 0:
        tensor = tensor.reshape(samples, -1, *tensor.shape[1:])
    return tensor


def modes(layer: WeightLayer, axes: int, *, folded: bool = False) -> list[str]:
    """Names of the unfoldings of a tensor of so many axes that this layer reads or writes; the first is the samples'.

    The mode of the samples is the matrix of Definition 2, n × N with one column a sample: an unfolding and its
    transpose have the same singular values. A linear layer's channels are its last axis, a convolution's its second.
    `folded`: the second axis was folded into the first (`by_sample`), as it is where samples are innermost.
    """
    if folded or layer.layout == "inner":
        return ["matrix", "window", *modes(replace(layer, layout="first"), axes - 1)[1:]]
    if layer.channel == -1:
        between = {3: ["token"], 4: ["height", "width"]}.get(axes, [f"axis{axis}" for axis in range(1, axes - 1)])
        return ["matrix", *between, "channel"][-axes:]
    channel = layer.channel % axes
    if layer.layout == "second" and channel < 2:  # `samples_first` has put the samples in front
        channel = 1
    rest = axes - channel - 1
    sides = KERNEL[len(KERNEL) - rest :] if rest <= len(KERNEL) else [f"axis{n}" for n in range(channel + 1, axes)]
    return [*["matrix", *(f"axis{axis}" for axis in range(1, channel))][:channel], "channel", *sides]
