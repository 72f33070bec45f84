"""Gram matrices of the unfoldings of tensors, in float64, with as little beside them in memory as a few blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from repro.spectra.unfold import short_blocks, short_unfoldings, unfolded_shape

_JOINT = 16
"""Positions of a kernel up to which the products between all pairs of them are cheaper than a copy for each axis."""

_BAND = 24
"""A band's rows are a multiple of this: MKL was measured to lose up to a tenth with 16 or 32."""


def add_grams(group: list[Tensor], grams: Mapping[int, Float[Tensor, "group short short"]], elements: int) -> None:
    """Add the Gram matrices (their lower triangles) of the unfoldings of tensors of one shape to those of each mode.

    These are float64, on the tensors' device if that has float64; so many elements are in float64 at one time.
    """
    if group[0].numel() > elements:
        for mode, gram in grams.items():
            for number, tensor in enumerate(group):
                _streamed(tensor, mode, elements, gram[number : number + 1])
        return
    start = 0
    for stack, room in stacks(group, elements):
        end = start + len(stack)
        _of_stack(stack, {mode: gram[start:end] for mode, gram in grams.items()}, room)
        start = end


def _of_stack(stack: Float[Tensor, "batch ..."], grams: dict[int, Tensor], room: Tensor) -> None:
    kernel = _of_kernel(stack) if max(grams) >= 2 else {}
    for mode, gram in grams.items():
        if mode in kernel:
            gram += kernel[mode]
        else:
            _add_gram(short_unfoldings(stack, mode, room), gram)


def _of_kernel(stack: Float[Tensor, "batch out in ..."]) -> dict[int, Float[Tensor, "batch side side"]]:
    """Gram matrices along the axes of small kernels: sums of the products of all pairs of positions, computed once."""
    batch, *sizes = stack.shape
    leading, axes = sizes[:2], sizes[2:]
    positions = math.prod(axes)
    tall = any(rows > columns for rows, columns in (unfolded_shape(sizes, mode) for mode in range(2, len(sizes))))
    if not axes or positions > _JOINT or tall:
        return {}
    parts = stack.reshape(batch, math.prod(leading), positions)
    joint = (parts.mT @ parts).view(batch, *axes, *axes)
    return {2 + axis: _along(axis, joint) for axis in range(len(axes))}


def _along(kept: int, joint: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch side side"]:
    """The sum over equal indices along all axes but `kept`; every axis comes twice."""
    for axis in reversed(range(joint.ndim // 2)):
        if axis != kept:
            joint = joint.diagonal(dim1=1 + axis, dim2=1 + axis + joint.ndim // 2).sum(-1)
    return joint


def _streamed(tensor: Tensor, mode: int, elements: int, gram: Float[Tensor, "1 short short"]) -> None:
    for columns in short_blocks(with_float64(tensor), mode, elements=elements):
        short, count = columns.shape
        # A batch of products keeps more threads busy than one product that is small in two of three dimensions.
        parts = 4 if count % 4 == 0 and count >= 8 * short else 1
        products = gram.new_zeros(parts, short, short)
        _add_gram(columns.unflatten(1, (parts, count // parts)).movedim(1, 0), products)
        gram += products.sum(0)


def _add_gram(matrices: Float[Tensor, "batch short long"], gram: Float[Tensor, "batch short short"]) -> None:
    """Add the lower triangles, in bands of rows: with many bands, half of the products."""
    short = matrices.shape[1]
    band = _BAND * max(round(short / (6 * _BAND)), 1)
    for start in range(0, short, band):
        rows = matrices[:, start : start + band]
        gram[:, start : start + band, : start + band].add_(rows @ matrices[:, : start + band].mT)


def stacks(
    group: list[Tensor], elements: int
) -> Iterator[tuple[Float[Tensor, "batch ..."], Float[Tensor, "room ..."]]]:
    """Tensors of one shape in float64, as many at a time as fit into one block, each valid until the next is taken.

    Beside each comes room for one more like it. Both are one piece of memory, for all of them: fresh pages would cost
    as much as the products, and the C library holds on to a few pieces of the size of the largest.
    """
    size = min(elements // group[0].numel(), len(group))
    both = with_float64(group[0]).new_empty(2 * size, *group[0].shape, dtype=torch.float64)
    for start in range(0, len(group), size):
        some = [with_float64(tensor) for tensor in group[start : start + size]]
        stack = both[: len(some)]
        torch._foreach_copy_(stack.unbind(), some)  # one call; torch.stack into float64 takes several times as long
        yield stack, both[size : size + len(some)]


def with_float64(tensor: Tensor) -> Tensor:
    """The tensor where float64 exists: not every accelerator has it (Apple's has not)."""
    return tensor if tensor.is_cuda else tensor.cpu()
