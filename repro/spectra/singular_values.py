"""Singular values of many matrices at once: from the Gram matrix where that is accurate, from a QR factor elsewhere.

Fast path. The square roots of the eigenvalues of the smaller Gram matrix. The eigenvalues carry an error of a few
eps·σmax² (eps that of float64), so that σmin has a relative error of a few eps·κ²: under 1e-6 while κ < `FAST_LIMIT`.

Exact path, for every other matrix: Householder QR, then LAPACK's SVD of the small triangular factor. Its error is a
small multiple of eps·σmax in every singular value, as that of LAPACK's SVD of the matrix itself. A matrix that is
larger than one block is reduced block by block (QR of the last factor on top of the next block: TSQR; Demmel,
Grigori, Hoemmen and Langou 2012), which is as accurate and holds one block and one factor at a time: no matrix is too
large for the exact path while its short side squared fits into memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from repro.spectra.unfold import short_blocks, short_unfoldings, unfolded_shape

FAST_LIMIT = 3e4
"""The fast path is left where its own estimate of κ is over this."""

HOST_BLOCK = 2**19
"""Elements that are in float64 at one time on the host: 4 MiB, so that conversion and product meet in the cache."""

DEVICE_BLOCK = 2**25
"""The same on a GPU, where small blocks would leave it idle: 256 MiB."""

_SMALL = 128  # side up to which Gram matrices of several modes are joined
_ORDINARY = 2.0**400  # squares whose largest lies within 1/_ORDINARY.._ORDINARY neither overflow nor vanish


def singular_values(
    tensors: Sequence[Tensor], *, modes: int | None, block: int | None
) -> Iterator[tuple[list[int], int, Float[Tensor, "batch short"]]]:
    """Singular values of unfoldings of many tensors, those of the same shape and dtype together.

    Args:
        tensors: Real tensors of any shapes, dtypes and devices.
        modes: How many leading modes of each tensor to unfold; all of them if None.
        block: Elements that are in float64 at one time; `HOST_BLOCK` or `DEVICE_BLOCK` if None.

    Yields:
        Places in `tensors`, the mode, and the singular values of those unfoldings: batch × short in float64 on the CPU,
        descending; NaN throughout for a tensor with NaN or infinite entries, batch × 0 for tensors without entries.
        Each place comes with its modes in order.
    """
    groups: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for place, tensor in enumerate(tensors):
        groups[tensor.shape, tensor.dtype, tensor.device].append(place)
    for places in groups.values():
        group = [tensors[place] for place in places]
        some_modes = range(group[0].ndim if modes is None else modes)
        elements = block or (DEVICE_BLOCK if group[0].is_cuda else HOST_BLOCK)
        if group[0].numel():
            for mode, values in zip(some_modes, _of_one_shape(group, some_modes, elements), strict=True):
                yield places, mode, values
        else:
            nothing = torch.empty(len(places), 0, dtype=torch.float64, device="cpu")
            yield from ((places, mode, nothing) for mode in some_modes)


def _of_one_shape(group: list[Tensor], modes: Sequence[int], elements: int) -> list[Float[Tensor, "group short"]]:
    """Singular values of the unfoldings of tensors of one shape, a tensor for each mode."""
    grams = _grams(group, modes, elements)
    count = len(group)
    values: dict[int, Tensor] = {}
    for together in _of_one_side([gram.shape[-1] for gram in grams]):
        joined = grams[together[0]] if len(together) == 1 else torch.cat([grams[each] for each in together])
        found, slow, odd = _from_grams(joined)
        for number, each in enumerate(together):
            mine = range(number * count, (number + 1) * count)
            values[each] = part = found[mine.start : mine.stop]
            if members := [index - mine.start for index in slow if index in mine]:
                part[members] = _exact([group[member] for member in members], modes[each], elements)
            for member in (index - mine.start for index in odd if index in mine):
                part[member] = _extraordinary(group[member], modes[each], elements)
    return [values[each] for each in range(len(grams))]


def _of_one_side(sides: Sequence[int]) -> list[list[int]]:
    """Which Gram matrices go through together: small ones of one side, where the calls themselves cost the most."""
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for place, side in enumerate(sides):
        groups[side if side <= _SMALL else -place - 1].append(place)
    return list(groups.values())


def _grams(group: list[Tensor], modes: Sequence[int], elements: int) -> list[Float[Tensor, "group short short"]]:
    """The Gram matrices (their lower triangles) of the unfoldings of tensors of one shape, for each mode."""
    if group[0].numel() > elements:
        return [torch.stack([_streamed_gram(tensor, mode, elements) for tensor in group]) for mode in modes]
    parts = [[_gram(short_unfoldings(stack, mode)) for mode in modes] for stack in _stacks(group, elements)]
    return [torch.cat(of_mode) for of_mode in zip(*parts, strict=True)]


def _streamed_gram(tensor: Tensor, mode: int, elements: int) -> Float[Tensor, "short short"]:
    total: Tensor | None = None
    for columns in short_blocks(_with_float64(tensor), mode, elements=elements):
        short, count = columns.shape
        # A batch of products keeps more threads busy than one product that is small in two of three dimensions.
        parts = 4 if count % 4 == 0 and count >= 8 * short else 1
        gram = _gram(columns.unflatten(1, (parts, count // parts)).movedim(1, 0)).sum(0)
        total = gram if total is None else total.add_(gram)
    assert total is not None
    return total


def _gram(matrices: Float[Tensor, "batch short long"]) -> Float[Tensor, "batch short short"]:
    """The Gram matrices' lower triangles, in four bands of rows: five eighths of the products."""
    short = matrices.shape[1]
    band = max(-(-short // 4), 16)
    if band >= short:
        return matrices @ matrices.mT
    gram = matrices.new_zeros(*matrices.shape[:2], short)
    for start in range(0, short, band):
        rows = matrices[:, start : start + band]
        gram[:, start : start + band, : start + band] = rows @ matrices[:, : start + band].mT
    return gram


def _from_grams(grams: Float[Tensor, "batch short short"]) -> tuple[Float[Tensor, "batch short"], list[int], list[int]]:
    """Singular values by the fast path; for which matrices it is not accurate; which have no ordinary squares."""
    grams = grams.cpu()  # for matrices of this size a GPU's eigensolver gains nothing over LAPACK
    largest = grams.diagonal(dim1=-2, dim2=-1).amax(-1)
    low, high = (bound.item() for bound in largest.aminmax())
    odd: list[int] = []
    if not (low > 1 / _ORDINARY and high < _ORDINARY):  # LAPACK fails on NaN
        ordinary = (largest > 1 / _ORDINARY) & (largest < _ORDINARY)
        grams[~ordinary] = torch.eye(grams.shape[-1], dtype=grams.dtype, device="cpu")
        odd = torch.nonzero(~ordinary).flatten().tolist()
    values = torch.linalg.eigvalsh(grams, UPLO="L").clamp_(min=0).sqrt_().flip(-1)
    accurate = values[:, 0] <= FAST_LIMIT * values[:, -1]
    slow: list[int] = [] if accurate.all() else torch.nonzero(~accurate).flatten().tolist()
    return values, [index for index in slow if index not in odd], odd


def _exact(group: list[Tensor], mode: int, elements: int) -> Float[Tensor, "group short"]:
    """The exact path for the unfoldings of tensors of one shape with ordinary squares."""
    polish = group[0].dtype == torch.float64 or not group[0].is_floating_point()
    if group[0].numel() > elements:
        factors = [_streamed_triangle(tensor, mode, elements, polish=polish).unsqueeze(0) for tensor in group]
    else:
        stacks = _stacks(group, elements)
        factors = [_triangle(short_unfoldings(stack, mode).mT, polish=polish) for stack in stacks]
    values: Tensor = torch.linalg.svdvals(torch.cat(factors).cpu())
    return values


def _streamed_triangle(tensor: Tensor, mode: int, elements: int, *, polish: bool) -> Float[Tensor, "short short"]:
    blocks = short_blocks(_with_float64(tensor), mode, elements=elements)
    factor = _triangle(next(blocks).mT, polish=polish)
    for columns in blocks:
        factor = _triangle(torch.cat([factor.mT, columns], dim=1).mT, polish=polish)
    return factor


def _triangle(tall: Float[Tensor, "*batch rows columns"], *, polish: bool) -> Float[Tensor, "*batch short columns"]:
    """The triangular factor of a QR decomposition.

    Householder QR leaves up to some hundred eps·σmax where a singular value should be zero, the more the longer the
    matrix and the more alike its columns are. Turned by the Q of a first QR a matrix is graded, and a second QR leaves
    a few eps·σmax. That is `polish`; it matters for data that are more precise than float32.
    """
    if polish:
        tall = torch.linalg.qr(tall).Q.mT @ tall
    factor: Tensor = torch.linalg.qr(tall, mode="r").R
    return factor


def _extraordinary(tensor: Tensor, mode: int, elements: int) -> Float[Tensor, " short"]:
    """Singular values of one unfolding with entries that are not finite, all zero, or huge or tiny even in float64."""
    low, high = (bound.to("cpu", torch.float64).abs() for bound in tensor.aminmax())
    largest = torch.maximum(low, high)
    if largest == 0 or not torch.isfinite(largest):
        short = min(unfolded_shape(tensor.shape, mode))
        return torch.full((short,), 0.0 if largest == 0 else torch.nan, dtype=torch.float64, device="cpu")
    largest = largest.clamp(2.0**-1000, 2.0**1000)  # a power of two near it is then in range, and so is its inverse
    power = (largest / torch.frexp(largest).mantissa).item()  # exact
    scaled = _with_float64(tensor).to(torch.float64) / power  # exact too
    (values,) = _of_one_shape([scaled], [mode], elements)
    return values[0] * power


def _with_float64(tensor: Tensor) -> Tensor:
    """The tensor where float64 exists: not every accelerator has it (Apple's has not)."""
    return tensor if tensor.is_cuda else tensor.cpu()


def _stacks(group: list[Tensor], elements: int) -> Iterator[Float[Tensor, "batch ..."]]:
    """Tensors of one shape in float64, as many at a time as fit into one block; each valid until the next is taken."""
    size = elements // group[0].numel()
    buffer: Tensor | None = None  # one for all: fresh memory would cost as much as the conversion
    for start in range(0, len(group), size):
        stack = _with_float64(torch.stack(group[start : start + size]))
        if buffer is None:
            buffer = torch.empty_like(stack, dtype=torch.float64)
        yield buffer[: len(stack)].copy_(stack)
