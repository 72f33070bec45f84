"""The weight layers that show in a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from repro.errors import UserError
from repro.networks.passing import Inputs, call, few, refusing, samples
from repro.networks.preserve_state import preserve_state
from repro.networks.sites.layout import Layout, batch_first, layouts
from repro.networks.sites.seen import SHORTCUT, Seen, look_over
from repro.networks.sites.slices import acting
from repro.networks.sites.weight_layer import WeightLayer, is_frozen, own_parameters, sources_of, trained_sources
from repro.networks.tracer import Tracer, Use

SHORTCUTS = ("downsample", "shortcut")
"""Names under which networks keep their shortcut projections."""


def by_a_pass(network: nn.Module, inputs: Inputs) -> tuple[list[WeightLayer], Seen, frozenset[str]]:
    """Of one sample if that is enough: some networks take whole batches only, or send no single sample everywhere."""
    one = few(inputs)
    if one is not inputs:
        try:
            found = _traced(network, one, inputs)
        except UserError:
            return _traced(network, inputs, inputs)
        if not found[1].unused:
            return found
    return _traced(network, inputs, inputs)


def _traced(network: nn.Module, inputs: Inputs, batch: Inputs) -> tuple[list[WeightLayer], Seen, frozenset[str]]:
    uses: list[tuple[Use, Tensor]] = []
    tracer = Tracer(network, lambda use: uses.append((use, use.product.weight.detach())))
    with preserve_state(network), refusing(network, inputs), torch.compiler.set_stance("force_eager"):
        network.eval()
        call(network, inputs, tracer)
    left_out = _shortcuts(tracer, [use for use, _ in uses])
    own = own_parameters(network)
    layers: list[WeightLayer] = []
    weights: list[Tensor] = []
    for use, weight in uses:
        if use.name in left_out:
            continue
        layer = _layer(len(layers) + 1, use, own)
        layers.append(replace(layer, first=_first(layer, weight, layers, weights)))
        weights.append(weight)
    if tracer.moved or any(_unclear(use, samples(inputs)) for use, _ in uses):
        known = layouts(partial(_show, network), batch, moved=tracer.moved)
        flat = {use.name for use, _ in uses if use.product.read is not None and use.product.read.ndim < 3}
        layers = _arranged(layers, known, flat)
    aside = {number: SHORTCUT for use, _ in uses if use.name in left_out for number in use.sources}
    parts = acting((layer.parameter, layer.view) for layer in layers if layer.parameter is not None)
    made = tracer.dynamic, tracer.foreign
    seen = look_over(
        network, sources_of(layers), aside, set(tracer.touched), *made, tracer.touched, parts, trained_sources(layers)
    )
    return layers, seen, frozenset(left_out)


def _arranged(layers: list[WeightLayer], known: Mapping[str, Layout], flat: set[str]) -> list[WeightLayer]:
    """The layers with what is known of the axis of their samples.

    Where what takes tokens first finds the samples in their place, others of them that are not flat have them so, too.
    """
    turned = any(layer.tokens_first and known.get(layer.name) == "second" for layer in layers)

    def layout(layer: WeightLayer) -> Layout:
        tokens = turned and (layer.tokens_first or layer.name not in flat)
        return "none" if tokens or layer.layout == "none" else known.get(layer.name, layer.layout)

    return [replace(layer, layout=layout(layer)) for layer in layers]


def _unclear(use: Use, count: int) -> bool:
    """Whether the samples may not be the first axis of what is read."""
    read = use.product.read
    if read is None or not read.ndim:
        return False
    if use.product.batch:
        return use.product.batch != count or len(read) == count
    image = use.product.kind in ("convolution", "transposed")
    return len(read) != count or (read.ndim > 2 and not image and read.shape[1] == count)


def _show(network: nn.Module, inputs: Inputs, see: Callable[[str, Tensor], None]) -> None:
    """A pass in eval mode that shows what each product reads."""

    def before(use: Use) -> None:
        if use.product.read is not None:
            see(use.name, batch_first(use.product.read, use.product.batch))

    with preserve_state(network), torch.compiler.set_stance("force_eager"):
        network.eval()
        call(network, inputs, Tracer(network, before))


def _layer(index: int, use: Use, own: Mapping[int, nn.Parameter]) -> WeightLayer:
    product = use.product
    weight, parameter, view = product.weight, None, None
    alone = product.kind in ("convolution", "transposed") and product.channel == 0  # an image without samples' axis
    base = weight if weight._base is None else weight._base
    if id(base) in own and base.dtype == weight.dtype:  # not the real part of a complex one
        parameter = own[id(base)]
        if weight.shape != base.shape or weight.stride() != base.stride():
            view = tuple(weight.shape), weight.stride(), int(weight.storage_offset() - base.storage_offset())
    return WeightLayer(
        index=index,
        name=use.name,
        module=use.module,
        kind=product.kind,
        modes=product.modes,
        channel=product.channel,
        options=product.options,
        parameter=parameter,
        view=view,
        first=index,
        layout="none" if alone else "first",
        sources=use.sources,
        tokens_first=bool(product.batch),
        frozen=is_frozen(use.sources, own),
        shape=tuple(weight.shape),
    )


def _first(layer: WeightLayer, weight: Tensor, layers: Sequence[WeightLayer], weights: Sequence[Tensor]) -> int:
    """The first layer with this weight: the same parameter, or one made of the same that is equal."""
    for other, theirs in zip(layers, weights, strict=True):
        if layer.sources != other.sources or (layer.parameter is None) != (other.parameter is None):
            continue
        if layer.parameter is not None:
            if _axes(weight) == _axes(theirs) and weight.storage_offset() == theirs.storage_offset():
                return other.first
        elif weight is theirs or (weight.shape == theirs.shape and bool((weight == theirs).all())):
            return other.first
    return layer.index


def _axes(tensor: Tensor) -> list[tuple[int, int]]:
    """A tensor's axes without their order and those of length 1: two views alike in them differ by turning only."""
    return sorted((stride, size) for stride, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1)


def _shortcuts(tracer: Tracer, uses: Sequence[Use]) -> set[str]:
    """Names of what lies in a shortcut that reads what something outside of it reads, too."""
    left_out = set()
    for shortcut, read in tracer.module_reads.items():
        if shortcut.rpartition(".")[2] not in SHORTCUTS:
            continue
        inside = {use.name for use in uses if shortcut in use.inside}
        if any(use.reads & read for use in uses if use.name not in inside):
            left_out |= inside
    return left_out
