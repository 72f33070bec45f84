"""A network's weight layers in forward order: the one numbering 1..L that measurements and figures use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from torch import nn
from torch.nn.modules.conv import _ConvNd

from repro.errors import UserError
from repro.networks.nested import plain
from repro.networks.passing import Inputs, fitted, refuse, unwrapped
from repro.networks.products import weight_modes
from repro.networks.sites.seen import Seen, look_over
from repro.networks.sites.traced import by_a_pass
from repro.networks.sites.weight_layer import WeightLayer, is_frozen, own_parameters, sources_of, trained_sources


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
        >>> import torch
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
        own = own_parameters(network)
        layers = [
            replace(layer, first=firsts.get(id(layer.parameter), layer.index), frozen=is_frozen(layer.sources, own))
            for layer in layers
        ]
        seen, aside = look_over(network, sources_of(layers), {}, None, (), trained=trained_sources(layers)), None
    elif inputs is None:
        raise UserError(f"the layers of {type(network).__name__} show their order in a forward pass only; pass images")
    else:
        layers, seen, aside = by_a_pass(network, inputs)
    if not layers:
        raise UserError(
            f"{type(network).__name__} multiplies with no matrix of parameters that can be seen (no convolution and no "
            f"linear layer, by whatever name); {seen.line}"
        )
    return Survey(layers, seen, aside, _identities(network))


def _identities(network: nn.Module) -> tuple[tuple[str, int], ...]:
    return tuple((key, id(each)) for module in network.modules() for key, each in module._parameters.items())


def _listed(index: int, name: str, module: nn.Module) -> WeightLayer:
    weight = module._parameters.get("weight")
    as_it_is = type(module).forward in (nn.Linear.forward, nn.Conv2d.forward) and "forward" not in vars(module)
    stands = as_it_is and weight is not None and plain(weight) and not module._forward_pre_hooks  # not FSDP's
    held = module._parameters.values() if stands else module.parameters()
    sources = frozenset(id(each) for each in held if each is not None and each.ndim > 1)
    layer = WeightLayer(index, name, module, parameter=weight if stands else None, first=index, sources=sources)
    if not isinstance(module, _ConvNd):
        return layer
    options = {key: getattr(module, key) for key in ("stride", "padding", "dilation", "output_padding", "groups")}
    kind = "transposed" if module.transposed else "convolution"
    modes = weight_modes(len(module.kernel_size) + 2, transposed=module.transposed)
    return replace(layer, kind=kind, modes=modes, channel=1, options=options)
