"""Where the samples are in what the layers of somebody's network read: found by turning them about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from repro.networks.nested import mapped, plain, tensors
from repro.networks.passing import Inputs, samples

Layout = Literal["first", "second", "inner", "none"]
"""The axis of the samples: the first (windows or tokens may be folded into it, the samples outermost), the second, the
first with the samples innermost (tokens and then samples), or none, as where only some samples come by."""

Sums = tuple[Tensor, Tensor | None, float]
"""What is kept of a tensor: a number for each place on its first axis, and on its second, and how exact these are."""

Pass = Callable[[Inputs, Callable[[str, Tensor], None]], None]
"""Passes inputs through a network and shows what each layer reads, by the layer's name."""

_SAMPLES = 3
_EXACT = 1e-5


def layouts(run: Pass, inputs: Inputs, *, moved: bool) -> dict[str, Layout]:
    """Where the samples are in what each layer reads: the axis on which it turns with them, by passes of a few.

    `moved`: whether the network picks or orders parts of the data, so that as many rows need not be the samples.
    """
    if isinstance(inputs, Tensor) and plain(inputs) and len(inputs) > _SAMPLES:
        try:
            return layouts(run, inputs[:_SAMPLES], moved=moved)
        except Exception:
            pass
    count = samples(inputs)
    if count < 2:
        return {}
    before, after = _sums(run, inputs), _sums(run, _turned(inputs, count))
    found = {name: _layout(sums, after.get(name), count) for name, sums in before.items()}
    rows = {name for name, sums in before.items() if len(sums[0]) == count and not moved}
    return {name: "first" if layout == "none" and name in rows else layout for name, layout in found.items()}


def _turned(inputs: Inputs, count: int) -> Inputs:
    """The inputs with the last sample in front of the others."""
    if isinstance(inputs, list):
        return [inputs[-1], *inputs[:-1]]
    axes = max(tensor.ndim for tensor in tensors(inputs))

    def turn(tensor: Tensor) -> Tensor:
        mask = tensor.ndim == 2 < axes and tensor.shape == (count, count)  # of tokens
        fixed = not plain(tensor) or not tensor.ndim or len(tensor) != count
        return tensor if fixed or mask else tensor.roll(1, 0)

    return mapped(turn, inputs)


def _sums(run: Pass, inputs: Inputs) -> Mapping[str, Sums]:
    found: dict[str, Sums] = {}

    def keep(name: str, tensor: Tensor) -> None:
        exact = max(_EXACT, 8 * torch.finfo(tensor.dtype).eps if tensor.is_floating_point() else 0)
        wide = tensor.detach().double()
        found[name] = _weighted(wide), _weighted(wide.transpose(0, 1)) if wide.ndim > 1 else None, exact

    run(inputs, keep)
    return found


def _weighted(tensor: Tensor) -> Float[Tensor, " places"]:
    """Sums with weights, as those of what is normalised are all 0."""
    flat = tensor.reshape(len(tensor), -1)
    return flat @ torch.arange(1, flat.shape[1] + 1, dtype=flat.dtype, device=flat.device).cos()


def _layout(before: Sums, after: Sums | None, count: int) -> Layout:
    if after is None or before[0].shape != after[0].shape:
        return "none"
    rows, columns, exact = before
    if len(rows) and len(rows) % count == 0:
        if _alike(rows.view(count, -1).roll(1, 0).flatten(), after[0], exact):
            return "first"
        if _alike(rows.view(-1, count).roll(1, 1).flatten(), after[0], exact):
            return "inner"
    if columns is None or after[1] is None or not len(columns) == count == len(after[1]):
        return "none"
    return "second" if _alike(columns.roll(1), after[1], exact) else "none"


def _alike(one: Float[Tensor, " places"], other: Float[Tensor, " places"], exact: float) -> bool:
    """Whether the finite ones are equal but for rounding, and the same are finite: a network may have exploded."""
    finite = one.isfinite()
    if not finite.equal(other.isfinite()):
        return False
    one, other = one[finite], other[finite]
    return not len(one) or bool(((one - other).abs() <= exact * one.abs().maximum(other.abs()).max()).all())


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
