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
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from repro.spectra.gram import add_grams, stacks, with_float64
from repro.spectra.unfold import distinct_modes, short_blocks, short_unfoldings, unfolded_shape

FAST_LIMIT = 3e4
"""The fast path is left where its own estimate of κ is over this."""

HOST_BLOCK = 2**19
"""Elements that are in float64 at one time on the host: 4 MiB, so that conversion and product meet in the
cache. An unfolding that is no view takes as much again."""

DEVICE_BLOCK = 2**25
"""The same on a GPU, where small blocks would leave it idle: 256 MiB."""

_SMALL = 128  # side up to which the Gram matrices of many shapes wait for one call of LAPACK's
_ORDINARY = 2.0**400  # squares whose largest lies within 1/_ORDINARY.._ORDINARY neither overflow nor vanish


@dataclass(frozen=True)
class Unfoldings:
    """Matrices of one shape: of tensors of one shape and dtype, along modes that have the same singular values."""

    tensors: list[Tensor]
    indices: list[int]
    """Where the tensors stand among those that were given."""
    modes: list[int]
    """Modes whose unfoldings are each other's transposes, as both of a matrix are; often only one."""
    elements: int
    """How many elements may be in float64 at one time."""

    @property
    def side(self) -> int:
        """The smaller side, that of the Gram matrices; 0 without entries."""
        return min(unfolded_shape(self.tensors[0].shape, self.modes[0]))

    def no_grams(self) -> Float[Tensor, "matrices short short"]:
        """Zeros to add the Gram matrices to."""
        tensor = with_float64(self.tensors[0])
        return tensor.new_zeros(len(self.tensors), self.side, self.side, dtype=torch.float64)


def singular_values(
    tensors: Sequence[Tensor], *, modes: int | None, block: int | None
) -> Iterator[tuple[list[Unfoldings], Float[Tensor, "matrices short"]]]:
    """Singular values of the unfoldings along the leading `modes` (None: all) of any real tensors.

    Small matrices of one side go together; `block` elements are in float64 at one time (None: `HOST_BLOCK` or
    `DEVICE_BLOCK`). Yields unfoldings, and a row for each tensor of each: the values in float64 on the CPU, descending;
    NaN throughout for a tensor with NaN or infinite entries, rows without length for tensors without entries.
    """
    alike: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for index, tensor in enumerate(tensors):
        alike[tensor.shape, tensor.dtype, tensor.device].append(index)
    small: defaultdict[int, list[tuple[Unfoldings, Tensor]]] = defaultdict(list)
    for indices in alike.values():
        group = [tensors[index] for index in indices]
        elements = block or (DEVICE_BLOCK if group[0].is_cuda else HOST_BLOCK)
        unfoldings = [Unfoldings(group, indices, some, elements) for some in distinct_modes(group[0].shape, modes)]
        grams = {unfolding.modes[0]: unfolding.no_grams() for unfolding in unfoldings}
        if group[0].numel():
            add_grams(group, grams, elements)
        for unfolding in unfoldings:
            matrices = grams.pop(unfolding.modes[0])
            if unfolding.side <= _SMALL:
                small[unfolding.side].append((unfolding, matrices.cpu()))
            else:
                yield [unfolding], _from_grams([unfolding], matrices.cpu())
    for together in small.values():
        some = [unfolding for unfolding, _ in together]
        yield some, _from_grams(some, torch.cat([matrices for _, matrices in together]))


def _from_grams(
    unfoldings: list[Unfoldings], grams: Float[Tensor, "matrices short short"]
) -> Float[Tensor, "matrices short"]:
    """Singular values by the fast path where it is accurate; on the host, as a GPU's eigensolver gains nothing here."""
    if grams.shape[-1] == 0:
        return grams.new_empty(grams.shape[:2])
    largest = grams.diagonal(dim1=-2, dim2=-1).amax(-1)
    low, high = (bound.item() for bound in largest.aminmax())
    odd: set[int] = set()
    if not (low > 1 / _ORDINARY and high < _ORDINARY):  # LAPACK fails on NaN
        ordinary = (largest > 1 / _ORDINARY) & (largest < _ORDINARY)
        grams[~ordinary] = torch.eye(grams.shape[-1], dtype=grams.dtype, device="cpu")
        odd = set(torch.nonzero(~ordinary).flatten().tolist())
    values: Tensor = torch.linalg.eigvalsh(grams, UPLO="L").clamp_(min=0).sqrt_().flip(-1)
    accurate = values[:, 0] <= FAST_LIMIT * values[:, -1]
    if odd or not accurate.all():
        slow = set(torch.nonzero(~accurate).flatten().tolist()) - odd
        start = 0
        for unfolding in unfoldings:
            mine = range(start, start + len(unfolding.tensors))
            if members := sorted(slow.intersection(mine)):
                values[members] = _exact(
                    [unfolding.tensors[row - start] for row in members], unfolding.modes[0], unfolding.elements
                )
            for row in odd.intersection(mine):
                values[row] = _extraordinary(unfolding.tensors[row - start], unfolding.modes[0], unfolding.elements)
            start = mine.stop
    return values


def _exact(group: list[Tensor], mode: int, elements: int) -> Float[Tensor, "group short"]:
    """The exact path for the unfoldings of tensors of one shape with ordinary squares."""
    polish = group[0].dtype == torch.float64 or not group[0].is_floating_point()
    if group[0].numel() > elements:
        factors = [_streamed_triangle(tensor, mode, elements, polish=polish).unsqueeze(0) for tensor in group]
    else:
        factors = [
            _triangle(short_unfoldings(stack, mode, room).mT, polish=polish) for stack, room in stacks(group, elements)
        ]
    values: Tensor = torch.linalg.svdvals(torch.cat(factors).cpu())
    return values


def _streamed_triangle(tensor: Tensor, mode: int, elements: int, *, polish: bool) -> Float[Tensor, "short short"]:
    blocks = short_blocks(with_float64(tensor), mode, elements=elements)
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
    scaled = with_float64(tensor).to(torch.float64) / power  # exact too
    alone = Unfoldings([scaled], [0], [mode], elements)
    grams = alone.no_grams()
    add_grams([scaled], {mode: grams}, elements)
    return _from_grams([alone], grams.cpu())[0] * power
