"""Unfoldings of a tensor: the matrices whose singular values the higher-order SVD speaks of."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from repro.errors import UserError


def unfold(tensor: Shaped[Tensor, "..."], mode: int) -> Shaped[Tensor, "rows columns"]:
    """The mode-n unfolding: one row for each index of dimension `mode`, all other dimensions flattened in order.

    De Lathauwer, De Moor and Vandewalle (2000) and tensorly order the columns differently; singular values do not
    depend on it. This is tensorly's order. A view where the memory allows it.

    Args:
        tensor: Any tensor with at least one dimension.
        mode: Which dimension gives the rows; negative counts from the end.

    Raises:
        UserError: The tensor has no such dimension.

    Example:
        >>> unfold(torch.zeros(8, 4, 3, 5), 1).shape
        torch.Size([4, 120])
    """
    if not -tensor.ndim <= mode < tensor.ndim:
        raise UserError(
            f"cannot unfold a tensor of {tensor.ndim} dimensions along mode {mode}; allowed: 0 to {tensor.ndim - 1}"
        )
    return tensor.movedim(mode, 0).reshape(unfolded_shape(tensor.shape, mode % tensor.ndim))


def short_unfoldings(stack: Shaped[Tensor, "batch ..."], mode: int, room: Tensor) -> Shaped[Tensor, "batch short long"]:
    """The mode-n unfolding of each tensor in a contiguous stack, transposed where it has more rows than columns.

    `room` is a contiguous tensor like it, used where the unfolding is no view.
    """
    turned = stack.movedim(mode + 1, 1)
    if 0 < mode < stack.ndim - 2:
        turned = room.view(turned.shape).copy_(turned)
    matrices = turned.reshape(stack.shape[0], *unfolded_shape(stack.shape[1:], mode))
    return matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT


def short_blocks(
    tensor: Shaped[Tensor, "..."], mode: int, *, elements: int
) -> Iterator[Float[Tensor, "short columns"]]:
    """The mode-n unfolding, transposed where it has more rows than columns, a block of columns at a time in float64.

    Each block, of about so many elements, is valid until the next is taken; but for the last it has twice as many
    columns as rows at least, since folding blocks into a QR factor would be wasteful otherwise. The columns come in the
    order of the memory, whatever the strides are (a channels-last tensor, a transposed matrix), since singular values
    do not depend on it; a tensor whose memory has gaps is copied first, in its own dtype.
    """
    order = sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
    contiguous = tensor.permute(order).contiguous()
    position = order.index(mode)
    sizes = contiguous.shape
    rows = sizes[position]
    before = math.prod(sizes[:position])
    after = math.prod(sizes[position + 1 :])
    parts = contiguous.view(before, rows, after)
    short = min(rows, before * after)
    columns = max(elements // short, 2 * short)

    transposed = rows > before * after
    if transposed:  # its columns are the slices along `rows`
        pieces = parts.split(columns, dim=1)
    elif after >= columns:
        pieces = tuple(piece for part in parts.split(1) for piece in part.split(columns, dim=2))
    else:
        pieces = parts.split(-(-columns // after), dim=0)
    buffer = parts.new_empty(max(piece.numel() for piece in pieces), dtype=torch.float64)
    for piece in pieces:
        converted = buffer[: piece.numel()].view(piece.shape).copy_(piece)
        yield converted.movedim(1, 2 if transposed else 0).reshape(short, -1)


def unfolded_shape(shape: Sequence[int], mode: int) -> tuple[int, int]:
    """Rows and columns of the mode-n unfolding of a tensor of this shape."""
    others = [size for dimension, size in enumerate(shape) if dimension != mode]
    return shape[mode], math.prod(others)


def distinct_modes(shape: Sequence[int], modes: int | None = None) -> list[list[int]]:
    """The first `modes` modes (all if None), those together whose unfoldings have the same singular values.

    Both of a matrix have, whatever dimensions of size 1 there are beside its two (the weight of a 1×1 convolution): one
    is the other turned. So have all modes of size 1: the unfolding is one row.
    """
    long = [mode for mode, size in enumerate(shape) if size != 1]
    alike: defaultdict[object, list[int]] = defaultdict(list)
    for mode in range(len(shape) if modes is None else modes):
        alike["a row" if mode not in long else "the matrix" if len(long) == 2 else mode].append(mode)
    return list(alike.values())
