"""Handing a network what it takes, whatever that is, and saying what it will not take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.rnn import PackedSequence

from repro.errors import UserError, first_line
from repro.networks.nested import mapped, parts, plain, tensors
from repro.networks.preserve_state import preserve_state
from repro.networks.sites.parameters import clean
from repro.networks.tracer import Tracer

Inputs = Any
"""A tensor, a tuple (by position), a dict (by name); anything else is the one argument."""


def unwrapped(network: nn.Module) -> nn.Module:
    """What is inside torch.compile's, DataParallel's and DDP's wrappers; FSDP's are needed to have the weights.

    `UserError` for what is no network.
    """
    if not isinstance(network, nn.Module):
        raise UserError(f"network is {described(network)}; allowed: a torch.nn.Module that was made")
    while True:
        wrapper = isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel)
        inner = network.module if wrapper else getattr(network, "_orig_mod", None)
        if not isinstance(inner, nn.Module):
            return network
        network = inner


def refuse(network: nn.Module) -> None:
    """Refuse a network without values (lazy, on ``meta``), or of TorchScript, whose products are not seen."""
    kind = type(network).__name__
    if isinstance(network, torch.jit.ScriptModule):
        raise UserError(f"{kind} is TorchScript, whose products are not seen; pass the module that it was made of")
    for name, module in network.named_modules():
        for key, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None and (tensor.is_meta or is_lazy(tensor)):
                which = f"'{clean(f'{name}.{key}')}'"
                if is_lazy(tensor):
                    raise UserError(
                        f"{kind} has lazy modules ({which} has no shape yet); run it on a batch once, then measure"
                    )
                raise UserError(f"{kind} has no values: {which} lies on the device meta; load its weights first")


def fitted(network: nn.Module, inputs: Inputs) -> Inputs:
    """Float32 inputs in the precision of the parameters: half, bfloat16 or float64.

    A network in several precisions gets them as they are if it takes them. `UserError` if there are no samples.
    """
    given = list(tensors(inputs))
    if given and not any(tensor.numel() for tensor in given):
        raise UserError(f"the inputs ({described(inputs)}) have no samples; pass some")
    dtypes = dict.fromkeys(tensor.dtype for tensor in network.parameters() if tensor.is_floating_point())
    dtype = next(iter(dtypes), torch.float32)
    if dtype == torch.float32 or (len(dtypes) > 1 and _takes(network, inputs)):
        return inputs
    return mapped(lambda tensor: tensor.to(dtype) if tensor.dtype == torch.float32 else tensor, inputs)


def _takes(network: nn.Module, inputs: Inputs) -> bool:
    try:
        with preserve_state(network), torch.compiler.set_stance("force_eager"):
            call(network.eval(), few(inputs))
    except Exception:
        return False
    return True


def few(inputs: Inputs) -> Inputs:
    """One sample, where that can be told; else all."""
    several = isinstance(inputs, Tensor) and plain(inputs) and inputs.ndim > 1 and len(inputs) > 1
    return inputs[:1] if several else inputs


def samples(inputs: Inputs) -> int:
    """How many samples there are: the commonest length of the tensors, or that of a list of images.

    Of lengths that are as common it is that of the tensor with the most axes, which masks are not, or else the first.
    """
    if isinstance(inputs, list) and inputs and isinstance(inputs[0], Tensor):
        return len(inputs)
    if (packed := next(_packed(inputs), None)) is not None:
        return int(packed.batch_sizes[0])
    axes: defaultdict[int, list[int]] = defaultdict(list)
    for tensor in tensors(inputs):
        if tensor.ndim:
            axes[tensor.size(0)].append(tensor.ndim)
    return max(axes, key=lambda length: (len(axes[length]), max(axes[length])), default=0)


def _packed(inputs: Inputs) -> Iterator[PackedSequence]:
    if isinstance(inputs, PackedSequence):
        yield inputs
    elif isinstance(inputs, dict | list | tuple):
        for each in parts(inputs).values():
            yield from _packed(each)


def call(network: Callable[..., Any], inputs: Inputs, tracer: Tracer | None = None) -> Any:
    """What the network makes of a copy of the inputs, as some networks change what they read; the tracer looks on."""
    inputs = mapped(torch.clone, inputs)
    if tracer is not None:
        tracer.start(inputs)
    with nullcontext() if tracer is None else tracer:
        if isinstance(inputs, tuple) and not isinstance(inputs, PackedSequence):
            return network(*inputs)
        return network(**inputs) if isinstance(inputs, dict) else network(inputs)


@contextmanager
def refusing(network: nn.Module, inputs: Inputs) -> Iterator[None]:
    """Tell in one line that the network does not take the inputs."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{type(network).__name__} refuses the inputs ({described(inputs)}) with {type(error).__name__}: "
            f"{first_line(error)}; pass what it takes: a tensor, a tuple (by position) or a dict (by name), on its "
            "device"
        ) from error


def joined(one: Inputs, other: Inputs) -> Inputs:
    """Two batches as one; `UserError` if they are not alike."""
    of_one, of_other = list(tensors(one)), list(tensors(other))
    pairs = {id(a): (a, b) for a, b in zip(of_one, of_other, strict=False)}
    if len(of_one) != len(of_other) or any(a.shape[1:] != b.shape[1:] for a, b in pairs.values()):
        raise UserError(f"held_out is {described(other)}, not like the inputs: {described(one)}")
    return mapped(lambda tensor: torch.cat(pairs[id(tensor)]) if tensor.ndim else tensor, one)


def described(value: Any) -> str:
    """A value's kind and shapes in a few words."""
    if isinstance(value, Tensor):
        kind = "" if plain(value) else "nested " if value.is_nested else "sparse "
        sides = (value.size(0), "...") if value.is_nested else tuple(value.shape)
        return f"{kind}{str(value.dtype).removeprefix('torch.')} {sides}"
    if isinstance(value, dict):
        return f"{type(value).__name__} of {', '.join(f'{key}: {described(item)}' for key, item in value.items())}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} of {', '.join(described(item) for item in value[:4]) or 'nothing'}"
    names = list(getattr(value, "__dataclass_fields__", ()))
    return type(value).__name__ + (f" with {', '.join(names)}" if names else "")
