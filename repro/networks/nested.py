"""Tensors that are nested in lists, mappings and objects."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor, nn


def parts(value: Any) -> Mapping[Any, Any]:
    """What is inside of a mapping, a list or an object with attributes, by its key or name; nothing of other values."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, list | tuple):
        return dict(enumerate(value))
    if isinstance(value, type | nn.Module | Tensor | str | int | float | None) or callable(value):
        return {}
    slots = {name: getattr(value, name, None) for name in getattr(value, "__dataclass_fields__", ())}
    return {**getattr(value, "__dict__", {}), **slots}


def plain(tensor: Tensor) -> bool:
    """Whether a tensor is a block of numbers: not sparse, ragged (nested), or made of others as a DTensor is."""
    own = type(tensor).__torch_dispatch__ != Tensor.__torch_dispatch__
    return not own and tensor.layout == torch.strided and not tensor.is_nested


def tensors(value: Any, within: tuple[int, ...] = ()) -> Iterator[Tensor]:
    """The tensors in nested lists, tuples, dicts and objects with attributes."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, set):
        yield from tensors(list(value), within)
    elif id(value) not in within:
        for each in parts(value).values():
            yield from tensors(each, (*within, id(value)))


def mapped(function: Callable[[Tensor], Any], value: Any) -> Any:
    """A value with a function of each tensor in its place; what is one tensor stays one: attention asks for that."""
    return _mapped(function, value, {})


def _mapped(function: Callable[[Tensor], Any], inputs: Any, results: dict[int, Any]) -> Any:
    if isinstance(inputs, Tensor):
        if id(inputs) not in results:
            results[id(inputs)] = function(inputs)
        return results[id(inputs)]
    if isinstance(inputs, list | tuple):
        values = [_mapped(function, value, results) for value in inputs]
        return type(inputs)(*values) if hasattr(inputs, "_fields") else type(inputs)(values)
    if next(tensors(inputs), None) is None:
        return inputs
    made = copy.copy(inputs)
    results[id(inputs)] = made
    for key, value in parts(inputs).items():
        new = results.get(id(value)) if not isinstance(value, Tensor) else None
        new = _mapped(function, value, results) if new is None else new
        if isinstance(made, MutableMapping):
            made[key] = new
        elif not isinstance(made, Mapping):
            object.__setattr__(made, key, new)
    return made
