"""A network's weight layers in forward order: the one numbering 1..L that measurements and figures use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from repro.errors import UserError
from repro.networks.preserve_state import preserve_state

SHORTCUTS = ("downsample", "shortcut")
"""Names under which networks keep their shortcut projections."""


@dataclass(frozen=True)
class WeightLayer:
    """One convolution or linear layer."""

    index: int
    """From 1, in forward order."""
    name: str
    """As in ``network.named_modules()``."""
    module: nn.Module


@runtime_checkable
class ListsWeightLayers(Protocol):
    """A network that knows its weight layers, so that none of its images are needed to find them."""

    def weight_layer_names(self) -> list[str]:
        """Names of the weight layers' modules in forward order."""
        ...


def weight_layers(
    network: nn.Module, images: Float[Tensor, "batch channels height width"] | None = None
) -> list[WeightLayer]:
    """The convolutions and linear layers in the order in which a forward pass first calls them.

    Shortcut projections are left out. In a network that does not list its layers itself (timm's, a user's), a
    projection is whatever lies inside a submodule named ``downsample`` or ``shortcut`` that reads the very tensor which
    a weight layer outside of it reads, too; ConvNeXt's downsampling layers, which stand in the main path, stay in.
    Only layers that are called as modules are seen: ``nn.MultiheadAttention`` uses its weights without calling any.

    Args:
        network: Any network. Modes, buffers and the random generators are left as they were.
        images: Images for one forward pass in eval mode, on the network's device; the first is used. Needed for
            networks that do not list their layers.

    Raises:
        UserError: Images are needed and missing, or the network has no weight layer.
    """
    if isinstance(network, ListsWeightLayers):
        names = network.weight_layer_names()
    elif images is None:
        raise UserError(f"the layers of {type(network).__name__} show their order in a forward pass only; pass images")
    else:
        names = _trace(network, images[:1])
    if not names:
        raise UserError(f"{type(network).__name__} calls no convolution and no linear layer")
    return [WeightLayer(index, name, network.get_submodule(name)) for index, name in enumerate(names, 1)]


def _trace(network: nn.Module, images: Tensor) -> list[str]:
    # The tensors are kept until the end: the identity of one that is freed may go to another.
    readings: dict[str, list[Tensor]] = {}

    def listen(name: str, module: nn.Module) -> Any:
        def note(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
            readings.setdefault(name, []).extend(tensors[:1])

        return module.register_forward_pre_hook(note, with_kwargs=True)

    layers = [name for name, module in network.named_modules() if isinstance(module, _ConvNd | nn.Linear)]
    shortcuts = [name for name, _ in network.named_modules() if name.rpartition(".")[2] in SHORTCUTS]
    with preserve_state(network):
        hooks = [listen(name, network.get_submodule(name)) for name in {*layers, *shortcuts}]
        try:
            network.eval()
            network(images.clone())
        finally:
            for hook in hooks:
                hook.remove()

    called = [name for name in readings if name in set(layers)]
    left_out = set()
    for shortcut in shortcuts:
        inside = {name for name in called if f"{name}.".startswith(f"{shortcut}.")}
        read = {id(tensor) for tensor in readings.get(shortcut, [])}
        if any(id(tensor) in read for name in called if name not in inside for tensor in readings[name]):
            left_out |= inside
    return [name for name in called if name not in left_out]
