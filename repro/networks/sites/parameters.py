"""A network's parameters by their names, their sizes and where they lie."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

_WRAPPERS = re.compile(r"(^|\.)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)(?=\.|$)")
_PARAMETRIZED = re.compile(r"\.parametrizations\.(\w+)\.original\d*$")
_MADE_OF = re.compile(r"_(orig|g|v)$")


def clean(name: str) -> str:
    """A module's or parameter's name without the names of wrappers around modules."""
    return _WRAPPERS.sub("", name).lstrip(".")


def held(module: nn.Module) -> list[tuple[str, object]]:
    """What a module itself holds, by name: parameters, buffers and attributes."""
    return [*module._parameters.items(), *module._buffers.items(), *vars(module).items()]


def is_of(kind: Any, *packages: str) -> bool:
    """Whether a class or function comes from one of these packages."""
    return any(f"{kind.__module__}.".startswith(f"{package}.") for package in packages)


def sharded(modules: Iterable[nn.Module]) -> bool:
    """Whether FSDP is at work, which puts other parameters, or other numbers, in the place of a module's own."""
    return any(is_of(type(module), "torch.distributed") for module in modules)


class Parameters:
    """The parameters of a network.

    Args:
        network: The network.
        given: What stands for its parameters, by name; its own if None.
    """

    def __init__(self, network: nn.Module, given: Mapping[str, Tensor] | None = None) -> None:
        if given is None:
            given = dict(network.named_parameters(remove_duplicate=False))
        modules = dict(network.named_modules(remove_duplicate=False))
        self.names: dict[int, list[str]] = {}
        """Names of each, by its identity."""
        self.sharded = sharded(modules.values())
        self._told: dict[str, str] = {}
        self._sizes: dict[int, int] = {}
        for name, parameter in given.items():
            self.names.setdefault(id(parameter), []).append(clean(name))
            self._told[clean(name)] = _plain(modules, name)
            self._sizes.setdefault(id(parameter), parameter.numel())
        self._by_size = sorted(self._sizes, key=lambda number: -self._sizes[number])
        self._places = {id(parameter): address(parameter) for parameter in given.values()}

    def __contains__(self, tensor: Tensor) -> bool:
        return id(tensor) in self.names

    def lies(self, number: int, tensor: Tensor) -> bool:
        """Whether a tensor lies where the parameter with this identity does."""
        place = self._places.get(number)
        return place is not None and place == address(tensor)

    def numbers(self, sources: Iterable[int]) -> int:
        """How many numbers the parameters with these identities hold."""
        return sum(self._sizes[number] for number in sources)

    def called(self, name: str) -> frozenset[int]:
        """Identities of the parameters that a weight of this name is made of."""
        return frozenset(number for number, names in self.names.items() if name in map(self._told.get, names))

    def name(self, sources: frozenset[int], inside: Iterable[str]) -> str:
        """What a weight is called that is made of parameters: after the largest, as the innermost module calls it.

        Args:
            sources: Identities of the parameters.
            inside: Names of the modules that are being called, the innermost first.
        """
        names = self.names[next(number for number in self._by_size if number in sources)]
        for module in inside:
            own = [name for name in names if not module or name.startswith(f"{module}.")]
            if own:
                return self._told[own[0]]
        return self._told[names[0]]

    def by_attribute(self, module: nn.Module, name: str, weight: Tensor, *, guess: bool) -> str | None:
        """Of a weight whose making was not followed: the module's own parameter (FSDP puts others in place).

        Args:
            module: The module that multiplies.
            name: Its name.
            weight: The weight.
            guess: Whether it is otherwise the parameter of that size.
        """
        flat = any(key.endswith("_flat_param") for key in self._told)  # its views are attributes
        for key, value in [*module._parameters.items(), *(vars(module).items() if flat else ())]:
            if value is weight:
                return f"{name}.{key}".removeprefix(".").removesuffix(".weight")
        for key, parameter in module.named_parameters() if guess else ():
            if parameter.shape == weight.shape:
                return self._told[clean(f"{name}.{key}")]
        return None


def address(tensor: Tensor) -> int | None:
    """Where a tensor's storage lies; None for one without storage of its own: sparse, or sharded by FSDP."""
    try:
        return tensor.untyped_storage().data_ptr() if tensor.layout == torch.strided else None
    except (RuntimeError, NotImplementedError):
        return None


def _plain(modules: Mapping[str, nn.Module], name: str) -> str:
    """What is measured: the parameter that is made, not what it is made of; a module's weight by the module."""
    name = _PARAMETRIZED.sub(r".\1", name)
    module, _, key = name.rpartition(".")
    made = _MADE_OF.sub("", key)
    if made != key and module in modules and made in vars(modules[module]):  # it stands there, and is no parameter
        name = f"{module}.{made}".lstrip(".")
    return clean(name.removesuffix(".weight"))
