"""Look at a network and leave everything as it was."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.autograd.grad_mode import _unsafe_preserve_version_counter

from repro.networks.sites.kept import Keep, contents, refill
from repro.networks.sites.parameters import is_of, sharded

_OF_TORCH = frozenset(vars(nn.Module()))


@contextmanager
def preserve_state(network: nn.Module, *others: Any) -> Iterator[Callable[[], None]]:
    """Puts back the modes and buffers of a network and the random generators of its devices; gradients are off.

    What a user's modules keep besides is put back, too: numbers, hidden states, lists, objects, generators, and which
    parameters and submodules there are; also what other things keep that take part, as a loss. What parameters hold is
    put back where a module's own `train`, or an embedding with ``max_norm``, changes it; else `repro.networks.tracer`
    refuses to have it overwritten. Yields what puts back all but the modes and generators of torch at once. Not
    `torch.inference_mode`: a network that caches what it computes here could not train with it afterwards.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (the global generator is what is kept)
    modules = list(network.modules())
    modes = [(module, module.training) for module in modules]
    keepers = list(_keepers(modules, others))

    def put_back() -> None:
        for keeper in keepers:
            keeper()

    devices = {tensor.device for module in modules for tensor in _held(module)}
    buffers = {id(each): each for module in modules for each in module._buffers.values() if each is not None}
    whole = tuple(each for each in buffers.values() if not each.is_inference())
    # With the numbers that it had a buffer is no other to a graph that waits for its backward pass.
    with _unsafe_preserve_version_counter(whole):
        try:
            with torch.random.fork_rng([device for device in devices if device.type == "cuda"]), torch.no_grad():
                yield put_back
        finally:
            for module, training in modes:
                module.training = training
            with torch.no_grad():
                put_back()
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def _held(module: nn.Module) -> Iterator[torch.Tensor]:
    for registered in (module._parameters, module._buffers):
        yield from (tensor for tensor in registered.values() if tensor is not None)


def _keepers(modules: list[nn.Module], others: Iterable[Any]) -> Iterator[Keep]:
    """What puts back the state of these modules, in the order in which to do it, and of what else takes part."""
    known = {id(module) for module in modules}
    if not sharded(modules):
        for module in modules:
            yield from _of_module(module, known)
    for other in others:
        yield from contents(other, known, _of_modules)
    for module in modules:
        yield from _of_buffers(module)


def _of_modules(module: nn.Module, known: set[int]) -> Iterator[Keep]:
    """Of a module that nobody registered."""
    for each in module.modules():
        if id(each) not in known or each is module:
            known.add(id(each))
            yield from _of_module(each, known)
            yield from _of_buffers(each)


def _of_buffers(module: nn.Module) -> Iterator[Keep]:
    for name, buffer in module._buffers.items():
        yield partial(_set_buffer, module._buffers, name, buffer, None if buffer is None else buffer.clone())


def _set_buffer(
    buffers: dict[str, torch.Tensor | None], name: str, buffer: torch.Tensor | None, before: torch.Tensor | None
) -> None:
    buffers[name] = buffer
    if buffer is not None and before is not None:
        buffer.copy_(before)


@cache
def _keeps_nothing(kind: Any) -> bool:
    return all(is_of(each, "torch", "repro", "builtins") for each in kind.__mro__)


def _changes_weights(module: nn.Module) -> bool:
    """Whether a module may overwrite its parameters by being used or by another mode (as adapters do)."""
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return module.max_norm is not None
    kind: Any = type(module)
    return "train" in vars(module) or not _train_is_torchs(kind)


@cache
def _train_is_torchs(kind: Any) -> bool:
    return is_of(kind.train, "torch", "lightning") and is_of(kind.eval, "torch", "lightning")


def _of_module(module: nn.Module, known: set[int]) -> Iterator[Keep]:
    """What puts back a module's parameters, attributes, and what is in them."""
    for registered in (module._parameters, module._modules):
        if registered and isinstance(registered, dict):  # TorchScript has something else
            yield partial(refill, registered, registered.copy())
    kind: Any = type(module)  # mypy takes the module's own hash for its class's
    if _changes_weights(module):
        yield from (partial(_keep_weight, each, each.data, each.data.clone()) for each in module.parameters())
    if _keeps_nothing(kind):
        return
    attributes = {key: value for key, value in vars(module).items() if key not in _OF_TORCH}
    for value in attributes.values():
        yield from contents(value, known, _of_modules)

    def put_back() -> None:
        for key in vars(module).keys() - attributes.keys() - _OF_TORCH:
            del vars(module)[key]
        vars(module).update(attributes)

    yield put_back


def _keep_weight(parameter: nn.Parameter, data: torch.Tensor, before: torch.Tensor) -> None:
    if parameter.data_ptr() != data.data_ptr():
        parameter.data = data
    if not torch.equal(data, before):
        data.copy_(before)
