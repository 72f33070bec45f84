"""Look at a network and leave everything as it was."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from repro.networks.sites.parameters import is_of, sharded

_LARGE = 2**22
"""Entries over which a tensor that a module keeps beside its buffers is not copied."""
_OF_TORCH = frozenset(vars(nn.Module()))


@contextmanager
def preserve_state(network: nn.Module) -> Iterator[Callable[[], None]]:
    """Puts back the modes and buffers of a network and the random generators of its devices; gradients are off.

    What a user's modules keep besides is put back, too: numbers, hidden states, lists, generators, and which parameters
    and submodules there are. What parameters hold is not: `repro.networks.tracer` refuses to have it overwritten.
    Yields what puts back all but the modes and generators of torch at once. Not `torch.inference_mode`: a network that
    caches what it computes here could not train with it afterwards.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (the global generator is what is kept)
    modes = [(module, module.training) for module in network.modules()]
    buffers = [
        (module, name, buffer, None if buffer is None else buffer.clone())
        for module in network.modules()
        for name, buffer in module._buffers.items()
    ]
    keepers = [] if sharded(network) else [keeper for module in network.modules() for keeper in _keepers(module)]

    def put_back() -> None:
        for keeper in keepers:
            keeper()
        for module, name, buffer, before in buffers:
            module._buffers[name] = buffer
            if buffer is not None and before is not None:
                buffer.copy_(before)

    devices = {tensor.device for tensor in (*network.parameters(), *network.buffers())}
    try:
        with torch.random.fork_rng([device for device in devices if device.type == "cuda"]), torch.no_grad():
            yield put_back
    finally:
        for module, training in modes:
            module.training = training
        put_back()
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


@cache
def _keeps_nothing(kind: Any) -> bool:
    return all(is_of(each, "torch", "repro", "builtins") for each in kind.__mro__)


def _keepers(module: nn.Module) -> Iterator[Callable[[], object]]:
    """What puts back a module's attributes, and what is in them."""
    for registered in (module._parameters, module._modules):
        if isinstance(registered, dict):  # TorchScript has something else
            yield partial(_refill, registered, registered.copy())
    kind: Any = type(module)  # mypy takes the module's own hash for its class's
    if _keeps_nothing(kind):
        return
    attributes = {key: value for key, value in vars(module).items() if key not in _OF_TORCH}
    for value in attributes.values():
        yield from _contents(value)

    def put_back() -> None:
        for key in vars(module).keys() - attributes.keys() - _OF_TORCH:
            del vars(module)[key]
        vars(module).update(attributes)

    yield put_back


def _contents(value: Any, within: tuple[int, ...] = ()) -> Iterator[Callable[[], object]]:
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter) and value.numel() <= _LARGE:
        yield partial(_fill, value, value.detach().clone(), _version(value))
    elif isinstance(value, torch.Generator):
        yield partial(value.set_state, value.get_state())
    elif isinstance(value, random.Random):
        yield partial(value.setstate, value.getstate())
    elif isinstance(value, np.random.Generator):
        yield partial(setattr, value.bit_generator, "state", value.bit_generator.state)
    elif isinstance(value, dict | list | set | deque) and id(value) not in within:
        for each in list(value.values() if isinstance(value, dict) else value):
            yield from _contents(each, (*within, id(value)))
        yield partial(_refill, value, value.copy())


def _refill(value: Any, before: Any) -> None:
    value.clear()
    (value.update if isinstance(value, dict | set) else value.extend)(before)


def _version(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def _fill(tensor: Tensor, before: Tensor, version: int) -> None:
    if version < 0 or _version(tensor) != version:
        tensor.copy_(before)
