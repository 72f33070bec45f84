"""Where the samples are in what the layers of somebody's network read: found by changing one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from repro.networks.nested import mapped
from repro.networks.passing import Inputs, samples

Layout = Literal["first", "second", "inner", "none"]
"""The axis of the samples: the first (windows or tokens may be folded into it, the samples outermost), the second, the
first with the samples innermost (tokens and then samples), or none, as where only some samples come by."""

Sums = tuple[int, Tensor, Tensor | None]
"""What is kept of a tensor: its number of axes, and its sums over all but the first and over all but the second."""

Pass = Callable[[Inputs, Callable[[str, Tensor], None]], None]
"""Passes inputs through a network and shows what each layer reads, by the layer's name."""

_SAMPLES = 3
_CHANGED = 1e-5


def layouts(run: Pass, inputs: Inputs) -> dict[str, Layout]:
    """Where the samples are in what each layer reads, by two passes of a few samples, the first of which is changed."""
    if isinstance(inputs, Tensor) and len(inputs) > _SAMPLES:
        try:
            return layouts(run, inputs[:_SAMPLES])
        except Exception:
            pass
    count = samples(inputs)
    if count < 2:
        return {}
    before = _sums(run, inputs)
    try:
        after = _sums(run, _changed(inputs, count))
    except Exception:  # the network does not take what was made of one sample
        after = {}
    return {name: _layout(sums, after.get(name), count) for name, sums in before.items()}


def _changed(inputs: Inputs, count: int) -> Inputs:
    if isinstance(inputs, list):
        return [_other(inputs[0], inputs[-1]), *inputs[1:]]

    def change(tensor: Tensor) -> Tensor:
        if not tensor.ndim or len(tensor) != count:
            return tensor
        return torch.cat([_other(tensor[:1], tensor[-1:]), tensor[1:]])

    return mapped(change, inputs)


def _other(one: Tensor, last: Tensor) -> Tensor:
    return one.roll(1, -1) * 0.7 + 0.2 if one.is_floating_point() else last


def _sums(run: Pass, inputs: Inputs) -> Mapping[str, Sums]:
    found: dict[str, Sums] = {}

    def keep(name: str, tensor: Tensor) -> None:
        wide = tensor.detach().double()
        columns = wide.transpose(0, 1).flatten(1).sum(1) if wide.ndim > 1 else None
        found[name] = tensor.ndim, wide.reshape(len(wide), -1).sum(1), columns

    run(inputs, keep)
    return found


def _layout(before: Sums, after: Sums | None, count: int) -> Layout:
    if after is None or before[1].shape != after[1].shape:
        return "none"
    rows, columns = before[1:]
    changed = _places(rows, after[1])
    folded = len(rows) // count
    divides = len(rows) == folded * count
    if not changed:  # not of the data, or nothing comes through
        return "first" if folded == 1 and divides else "none"
    if divides and all(place < folded for place in changed):
        return "first"
    if divides and all(place % count == 0 for place in changed):
        return "inner"
    theirs = after[2]
    if columns is not None and theirs is not None and len(columns) == count and _places(columns, theirs) == [0]:
        return "second"
    return "first" if len(rows) == count else "none"  # each of the samples reads all


def _places(one: Float[Tensor, " places"], other: Float[Tensor, " places"]) -> list[int]:
    size = one.abs().maximum(other.abs()).max()
    places: list[int] = ((one - other).abs() > _CHANGED * size).nonzero().flatten().tolist()
    return places


def batch_first(tensor: Tensor, batch: int) -> Tensor:
    """What an operation reads with the tokens before its batch, turned about; as it is if there is no such batch."""
    if not batch:
        return tensor
    return tensor.unflatten(0, (-1, batch)).transpose(0, 1) if tensor.ndim == 2 else tensor.transpose(0, 1)


def rows_of(tensor: Tensor, layout: Layout, count: int) -> bool:
    """Whether the tensor, arranged by `samples_first`, is as many rows as there are samples, or a multiple of that."""
    return layout == "second" or (layout != "none" and (count < 1 or len(tensor) % count == 0))


def samples_first(tensor: Tensor, layout: Layout, count: int, *, batch: int = 0) -> Tensor:
    """The tensor with its axis of samples in front, which are `count`.

    `batch`: see `batch_first`.
    """
    tensor = batch_first(tensor, batch)
    if layout == "second":
        return tensor.transpose(0, 1)
    return tensor.unflatten(0, (-1, count)).transpose(0, 1) if layout == "inner" else tensor
