"""A network's weight layers in forward order: the one numbering 1..L that measurements and figures use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from repro.errors import UserError
from repro.networks.passing import Inputs, call, few, fitted, refuse, refusing, samples, unwrapped
from repro.networks.preserve_state import preserve_state
from repro.networks.products import weight_modes
from repro.networks.sites.layout import Layout, batch_first, layouts
from repro.networks.sites.seen import SHORTCUT, Seen, look_over
from repro.networks.sites.slices import View, acting
from repro.networks.tracer import Tracer, Use

SHORTCUTS = ("downsample", "shortcut")
"""Names under which networks keep their shortcut projections."""


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

    def part(self, tensor: Tensor) -> Tensor:
        """What is this layer's of a tensor like its parameter (the parameter itself, its gradient, its update)."""
        if self.view is None:
            return tensor
        assert self.parameter is not None
        shape, strides, offset = self.view
        if tensor.stride() != self.parameter.stride():
            tensor = tensor.new_empty_strided(tensor.shape, self.parameter.stride()).copy_(tensor)
        return tensor.as_strided(shape, strides, tensor.storage_offset() + offset)


@runtime_checkable
class ListsWeightLayers(Protocol):
    """A network that names its weight layers, so that no forward pass is needed to find them."""

    def weight_layer_names(self) -> list[str]:
        """Names of the weight layers' modules in forward order."""
        ...


@dataclass(frozen=True)
class Survey:
    """The weight layers of a network, and what of its parameters they are."""

    layers: list[WeightLayer]
    seen: Seen
    aside: frozenset[str] | None
    """Names of the products that are no weight layers: projections of shortcuts. None: not known."""
    parameters: tuple[tuple[str, int], ...]
    """Names and identities of the modules' parameters when it was surveyed."""

    def holds(self, network: nn.Module) -> bool:
        """Whether the network still has the same parameters."""
        return self.parameters == _identities(network)


def weight_layers(network: nn.Module, inputs: Inputs | None = None) -> list[WeightLayer]:
    """List the products with a weight in the order of a forward pass; see `survey`.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 10))
        >>> [(layer.index, layer.name) for layer in weight_layers(network, torch.zeros(1, 1, 8, 8))]
        [(1, '0'), (2, '2')]
    """
    return survey(network, inputs).layers


def survey(network: nn.Module, inputs: Inputs | None = None) -> Survey:
    """Find the weight layers of a network: every product with a weight, in the order of a forward pass.

    Shortcut projections are left out. In a network that does not list its layers itself (timm's or your own), these are
    the layers in a submodule named ``downsample`` or ``shortcut`` whose input is also the input of a weight layer
    outside of it. ConvNeXt's downsampling layers, which are in the main path, are not left out.

    Args:
        network: Any network. Its modes and buffers, and the random generators, do not change.
        inputs: What it takes, on its device: a tensor, a tuple (by position) or a dict (by name), for a forward pass in
            eval mode. Needed for networks that do not list their layers.

    Raises:
        UserError: Inputs are needed and missing, or refused by the network, or it multiplies with no parameter; it has
            parameters without values (lazy modules, the device ``meta``).
    """
    network = unwrapped(network)
    refuse(network)
    inputs = fitted(network, inputs)
    if isinstance(network, ListsWeightLayers):
        modules = dict(network.named_modules())
        layers = [_listed(index, name, modules[name]) for index, name in enumerate(network.weight_layer_names(), 1)]
        firsts = {id(layer.parameter): layer.index for layer in reversed(layers) if layer.parameter is not None}
        own = _own(network)
        layers = [
            replace(layer, first=firsts.get(id(layer.parameter), layer.index), frozen=_frozen(layer.sources, own))
            for layer in layers
        ]
        seen, aside = look_over(network, _sources(layers), {}, None, (), trained=_trained(layers)), None
    elif inputs is None:
        raise UserError(f"the layers of {type(network).__name__} show their order in a forward pass only; pass images")
    else:
        layers, seen, aside = _by_a_pass(network, inputs)
    if not layers:
        raise UserError(
            f"{type(network).__name__} multiplies with no matrix of parameters that can be seen (no convolution and no "
            f"linear layer, by whatever name); {seen.line}"
        )
    return Survey(layers, seen, aside, _identities(network))


def _by_a_pass(network: nn.Module, inputs: Inputs) -> tuple[list[WeightLayer], Seen, frozenset[str]]:
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


def _identities(network: nn.Module) -> tuple[tuple[str, int], ...]:
    return tuple((key, id(each)) for module in network.modules() for key, each in module._parameters.items())


def _sources(layers: Sequence[WeightLayer]) -> frozenset[int]:
    return frozenset().union(*(layer.sources for layer in layers))


def _trained(layers: Sequence[WeightLayer]) -> frozenset[int]:
    return _sources([layer for layer in layers if not layer.frozen])


def _listed(index: int, name: str, module: nn.Module) -> WeightLayer:
    weight = module._parameters.get("weight")
    as_it_is = type(module).forward in (nn.Linear.forward, nn.Conv2d.forward) and "forward" not in vars(module)
    plain = as_it_is and weight is not None and not module._forward_pre_hooks
    held = module._parameters.values() if plain else module.parameters()
    sources = frozenset(id(each) for each in held if each is not None and each.ndim > 1)
    layer = WeightLayer(index, name, module, parameter=weight if plain else None, first=index, sources=sources)
    if not isinstance(module, _ConvNd):
        return layer
    options = {key: getattr(module, key) for key in ("stride", "padding", "dilation", "output_padding", "groups")}
    kind = "transposed" if module.transposed else "convolution"
    modes = weight_modes(len(module.kernel_size) + 2, transposed=module.transposed)
    return replace(layer, kind=kind, modes=modes, channel=1, options=options)


def _traced(network: nn.Module, inputs: Inputs, batch: Inputs) -> tuple[list[WeightLayer], Seen, frozenset[str]]:
    uses: list[tuple[Use, Tensor]] = []
    tracer = Tracer(network, lambda use: uses.append((use, use.product.weight.detach())))
    with preserve_state(network), refusing(network, inputs), torch.compiler.set_stance("force_eager"):
        network.eval()
        call(network, inputs, tracer)
    left_out = _shortcuts(tracer, [use for use, _ in uses])
    own = _own(network)
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
        network, _sources(layers), aside, set(tracer.touched), *made, tracer.touched, parts, _trained(layers)
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
    alone = (
        product.kind in ("convolution", "transposed") and product.channel == 0
    )  # an image without an axis of samples
    base = weight if weight._base is None else weight._base
    if id(base) in own and base.dtype == weight.dtype:  # not the real part of a complex one
        parameter = own[id(base)]
        if weight.shape != base.shape or weight.stride() != base.stride():
            view = tuple(weight.shape), weight.stride(), int(weight.storage_offset() - base.storage_offset())
    return WeightLayer(
        index,
        use.name,
        use.module,
        product.kind,
        product.modes,
        product.channel,
        product.options,
        parameter,
        view,
        index,
        "none" if alone else "first",
        use.sources,
        bool(product.batch),
        _frozen(use.sources, own),
    )


def _own(network: nn.Module) -> dict[int, nn.Parameter]:
    return {id(parameter): parameter for parameter in network.parameters()}


def _frozen(sources: Iterable[int], own: Mapping[int, nn.Parameter]) -> bool:
    matrices = [own[number] for number in sources if number in own and own[number].ndim > 1]
    return bool(matrices) and not any(parameter.requires_grad for parameter in matrices)


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
