"""What objects keep: containers, arrays, generators and objects of a user's own, and how to put it back."""

from __future__ import annotations

import random
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from repro.networks.sites.parameters import is_of

Keep = Callable[[], object]
"""Puts something back."""

_LARGE = 2**22
"""Entries over which a tensor or an array that is kept beside the buffers is not copied."""
_LIBRARIES = ("torch", "lightning", "pytorch_lightning", "repro", "wandb", "pandas", *sys.stdlib_module_names)


def contents(value: Any, known: set[int], of_module: Callable[[nn.Module, set[int]], Iterator[Keep]]) -> Iterator[Keep]:
    """What puts back what is in a value, and in what is in that; not what is another library's object.

    Args:
        value: A tensor, an array, a generator, a container, a function with what it closes over, or an object.
        known: Identities of what is put back already; what is found is added.
        of_module: What puts back a module's state.
    """
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if each is None or isinstance(each, str | bytes | int | float | complex) or id(each) in known:
            continue
        known.add(id(each))
        if isinstance(each, nn.Module):
            yield from of_module(each, known)
            continue
        inside, keep = _parts(each)
        waiting += inside
        if keep is not None:
            yield keep


def _parts(value: Any) -> tuple[list[Any], Keep | None]:
    """What is inside of a value, and what puts the value itself back."""
    if isinstance(value, Tensor):
        plain = not isinstance(value, nn.Parameter) and value.numel() <= _LARGE
        return [], partial(_fill, value, value.detach().clone(), _version(value)) if plain else None
    if isinstance(value, torch.Generator):
        return [], partial(value.set_state, value.get_state())
    if isinstance(value, random.Random):
        return [], partial(value.setstate, value.getstate())
    if isinstance(value, np.random.Generator):
        return [], partial(setattr, value.bit_generator, "state", value.bit_generator.state)
    if isinstance(value, np.ndarray):
        plain = value.size <= _LARGE and value.flags.writeable and not value.dtype.hasobject
        return [], partial(np.copyto, value, value.copy()) if plain else None
    if isinstance(value, dict | list | set | deque):
        return list(value.values() if isinstance(value, dict) else value), partial(refill, value, value.copy())
    if isinstance(value, tuple | frozenset):
        return list(value), None
    if isinstance(value, partial):
        return [value.func, value.args, value.keywords], None
    if isinstance(value, types.MethodType):
        return [value.__self__], None
    if isinstance(value, types.FunctionType):
        return [cell.cell_contents for cell in value.__closure__ or () if cell != types.CellType()], None
    kind: Any = type(value)
    if isinstance(value, type | types.ModuleType) or _is_anothers(kind):
        return [], None
    own, slots = getattr(value, "__dict__", None), {name: getattr(value, name) for name in _slots(value)}
    restore = partial(_restore, value, None if own is None else dict(own), slots)
    return [*(own or {}).values(), *slots.values()], restore if own is not None or slots else None


@cache
def _is_anothers(kind: type) -> bool:
    return kind is not types.SimpleNamespace and is_of(kind, *_LIBRARIES)


def _slots(value: Any) -> list[str]:
    named = [getattr(kind, "__slots__", ()) for kind in type(value).__mro__]
    names = [name for each in named for name in ((each,) if isinstance(each, str) else each)]
    return [name for name in names if name not in ("__dict__", "__weakref__") and hasattr(value, name)]


def _restore(value: Any, own: dict[str, Any] | None, slots: dict[str, Any]) -> None:
    if own is not None:
        refill(value.__dict__, own)
    for name, each in slots.items():
        object.__setattr__(value, name, each)


def refill(value: Any, before: Any) -> None:
    """Give a container the entries that it had."""
    value.clear()
    (value.update if isinstance(value, dict | set) else value.extend)(before)


def _version(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def _fill(tensor: Tensor, before: Tensor, version: int) -> None:
    if version < 0 or _version(tensor) != version:
        tensor.copy_(before)
