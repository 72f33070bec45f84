"""Singular values of many matrices at once: from the Gram matrix where that is accurate, from a QR factor elsewhere.

Fast path. The square roots of the eigenvalues of the smaller Gram matrix. The eigenvalues carry an error of a few
eps·σmax² (eps that of float64), so that σmin has a relative error of a few eps·κ²: under 1e-6 while κ < `FAST_LIMIT`.

Exact path, for every other matrix: Householder QR, then LAPACK's SVD of the small triangular factor. Its error is a
small multiple of eps·σmax in every singular value, as that of LAPACK's SVD of the matrix itself. A matrix that is
larger than one block is reduced block by block (QR of the last factor on top of the next block: TSQR; Demmel,
Grigori, Hoemmen and Langou 2012), which is as accurate and holds one block and one factor at a time: no matrix is too
large for the exact path while its short side squared fits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from repro.spectra.unfold import short_blocks, short_unfoldings, unfolded_shape

FAST_LIMIT = 3e4
"""The fast path is left where its own estimate of κ is over this."""

HOST_BLOCK = 2**18
"""Elements that are in float64 at one time on the host: 2 MiB, so that conversion and product meet in the cache."""

DEVICE_BLOCK = 2**25
"""The same on a GPU, where small blocks would leave it idle: 256 MiB."""

_SAFE = 2.0**400  # squares whose largest lies within 1/_SAFE.._SAFE: nothing overflowed, nothing that matters vanished


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
        if group[0].numel() == 0:
            nothing = torch.empty(len(places), 0, dtype=torch.float64, device="cpu")
            yield from ((places, mode, nothing) for mode in some_modes)
            continue
        for mode, gram in zip(some_modes, _grams(group, some_modes, block), strict=True):
            values, fast = _from_gram(gram)
            slow = torch.nonzero(~fast).flatten().tolist()
            if slow:
                values[slow] = _exact([group[index] for index in slow], mode, block)
            yield places, mode, values


def _grams(group: list[Tensor], modes: Sequence[int], block: int | None) -> list[Float[Tensor, "group short short"]]:
    """The Gram matrices (their lower triangles) of the unfoldings of tensors of one shape, for each mode."""
    elements = _block_elements(group[0], block)
    if group[0].numel() > elements:
        return [torch.stack([_streamed_gram(tensor, mode, elements) for tensor in group]) for mode in modes]
    parts = [[_gram(short_unfoldings(stack, mode)) for mode in modes] for stack in _stacks(group, elements)]
    return [torch.cat(of_mode) for of_mode in zip(*parts, strict=True)]


def _streamed_gram(tensor: Tensor, mode: int, elements: int) -> Float[Tensor, "short short"]:
    blocks = short_blocks(_with_float64(tensor), mode, elements=elements)
    total = _gram(next(blocks))
    for columns in blocks:
        total += _gram(columns)
    return total


def _exact(group: list[Tensor], mode: int, block: int | None) -> Float[Tensor, "group short"]:
    """The exact path for the unfoldings of tensors of one shape; NaN for tensors with entries that are not finite."""
    elements = _block_elements(group[0], block)
    if group[0].numel() > elements:
        return torch.stack([_streamed_exact(tensor, mode, elements) for tensor in group])
    polish = _needs_polish(group[0])
    stacks = _stacks(group, elements)
    return torch.cat([_from_qr(short_unfoldings(stack, mode), polish=polish) for stack in stacks])


def _streamed_exact(tensor: Tensor, mode: int, elements: int) -> Float[Tensor, " short"]:
    low, high = tensor.aminmax()  # in the tensor's own dtype: no copy
    largest = torch.maximum(low.to("cpu", torch.float64).abs(), high.to("cpu", torch.float64).abs())
    if not torch.isfinite(largest):
        return torch.full((min(unfolded_shape(tensor.shape, mode)),), torch.nan, dtype=torch.float64, device="cpu")
    shrink, grow = _powers_of_two(largest)
    polish = _needs_polish(tensor)
    blocks = short_blocks(_with_float64(tensor), mode, elements=elements)
    factor = _triangle(next(blocks).mT * shrink, polish=polish)
    for columns in blocks:
        factor = _triangle(torch.cat([factor, columns.mT * shrink]), polish=polish)
    values: Tensor = torch.linalg.svdvals(factor.cpu())
    return values * grow


def _needs_polish(tensor: Tensor) -> bool:
    """Whether singular values under eps(float32) · σmax can be anything but rounding of the data."""
    return tensor.dtype == torch.float64 or not tensor.is_floating_point()


def _block_elements(tensor: Tensor, block: int | None) -> int:
    return block or (DEVICE_BLOCK if tensor.is_cuda else HOST_BLOCK)


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


def _gram(matrices: Float[Tensor, "*batch short long"]) -> Float[Tensor, "*batch short short"]:
    """The Gram matrices' lower triangles, in four bands of rows: five eighths of the products."""
    short = matrices.shape[-2]
    band = max(-(-short // 4), 16)
    if band >= short:
        return matrices @ matrices.mT
    gram = matrices.new_zeros(*matrices.shape[:-1], short)
    for start in range(0, short, band):
        rows = matrices[..., start : start + band, :]
        gram[..., start : start + band, : start + band] = rows @ matrices[..., : start + band, :].mT
    return gram


def _from_gram(
    gram: Float[Tensor, "batch short short"],
) -> tuple[Float[Tensor, "batch short"], Bool[Tensor, " batch"]]:
    """Singular values by the fast path, and for which matrices they are accurate.

    They are not where κ is too large, where squares overflowed or vanished, and where there is NaN in the matrix.
    """
    gram = gram.cpu()  # a GPU's eigensolver is slower than LAPACK for matrices of this size
    largest = gram.diagonal(dim1=-2, dim2=-1).amax(-1)
    safe = (largest > 1 / _SAFE) & (largest < _SAFE)
    if not safe.all():  # LAPACK fails on NaN
        gram[~safe] = torch.eye(gram.shape[-1], dtype=gram.dtype, device="cpu")
    values = torch.linalg.eigvalsh(gram, UPLO="L").clamp_(min=0).sqrt_().flip(-1)
    return values, safe & (values[:, 0] <= FAST_LIMIT * values[:, -1])


def _from_qr(matrices: Float[Tensor, "batch short long"], *, polish: bool) -> Float[Tensor, "batch short"]:
    """Singular values by the exact path; NaN for matrices with entries that are not finite."""
    largest = matrices.abs().amax((-2, -1))
    finite = torch.isfinite(largest)
    shrink, grow = _powers_of_two(torch.where(finite, largest, 1.0))
    tall = torch.where(finite[:, None, None], matrices * shrink[:, None, None], 0.0).mT
    values = torch.linalg.svdvals(_triangle(tall, polish=polish).cpu())
    return torch.where(finite[:, None].cpu(), values * grow[:, None].cpu(), torch.nan)


def _triangle(tall: Float[Tensor, "*batch rows columns"], *, polish: bool) -> Float[Tensor, "*batch columns columns"]:
    """The triangular factor of a QR decomposition.

    Householder QR leaves up to some hundred eps·σmax where a singular value should be zero, the more the longer the
    matrix and the more alike its columns are. Turned by the Q of a first QR a matrix is graded, and a second QR leaves
    a few eps·σmax: that is `polish`.
    """
    if polish:
        tall = torch.linalg.qr(tall).Q.mT @ tall
    factor: Tensor = torch.linalg.qr(tall, mode="r").R
    return factor


def _powers_of_two(largest: Float[Tensor, "*batch"]) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """The power of two that brings a matrix with this largest entry near 1, and the one that undoes it.

    Multiplying by them is exact. Within 2**-1000 to 2**1000, so that neither overflows.
    """
    largest = largest.clamp(2.0**-1000, 2.0**1000)
    mantissa = torch.frexp(largest).mantissa
    return mantissa / largest, largest / mantissa
