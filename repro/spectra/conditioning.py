"""Condition number, extreme singular values and numerical rank of many matrices, under one rule for infinity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from itertools import accumulate

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from repro.errors import UserError
from repro.spectra.sharing import in_threads
from repro.spectra.singular_values import singular_values
from repro.spectra.unfold import distinct_modes, unfolded_shape


@dataclass(frozen=True, eq=False)
class Conditioning:
    """Results for several matrices: vectors on the CPU with one entry for each matrix, in the given order."""

    sigma_max: Float[Tensor, " matrices"]
    """Largest singular value. NaN for a matrix with NaN or infinite entries and for one without entries."""
    sigma_min: Float[Tensor, " matrices"]
    """Smallest of the min(rows, columns) singular values, as computed, also of a singular matrix. NaN as above."""
    condition_number: Float[Tensor, " matrices"]
    """σmax/σmin (Oyedotun, Eq. 8); infinite if the matrix counts as singular. NaN as above."""
    rank: Float[Tensor, " matrices"]
    """Number of singular values over tolerance · σmax; floating point, since it is NaN if entries are not finite."""
    finite: Bool[Tensor, " matrices"]
    """Whether all entries of the matrix are finite."""
    values: tuple[Float[Tensor, " _"], ...] | None = None
    """All singular values of each matrix, descending, if they are kept."""

    def split(self, lengths: Sequence[int]) -> list[Conditioning]:
        """Consecutive parts with the given numbers of entries."""
        columns = [getattr(self, field.name).split(list(lengths)) for field in fields(self) if field.name != "values"]
        ends = list(accumulate(lengths))
        values = [self.values and self.values[end - some : end] for some, end in zip(lengths, ends, strict=True)]
        return [Conditioning(*parts) for parts in zip(*columns, values, strict=True)]


def default_tolerance(dtype: torch.dtype, shape: Sequence[int]) -> float:
    """The relative size up to which σmin counts as zero where the user does not say.

    For data that networks compute with (float32 and anything narrower) it is eps(float32) = 1.2e-7, so κ beyond 8.4e6
    is infinite. The usual max(rows, columns) · eps would be no use: it calls κ = 512 of a 16,384 × 128 representation
    infinite. For float64 data it is max(3, max(rows, columns) / 128) · eps(float64), which is what rounding leaves of a
    zero singular value: κ = 1e15 stays finite up to 512 rows and columns.
    """
    if dtype.is_floating_point and dtype != torch.float64:
        return torch.finfo(torch.float32).eps
    return torch.finfo(torch.float64).eps * max(3.0, max(shape) / 128)


def conditioning(
    matrices: Sequence[Tensor], *, tolerance: float | None = None, block: int | None = None
) -> Conditioning:
    """Compute the conditioning of matrices of any shapes, dtypes and devices; equal shapes are computed together.

    A matrix counts as singular, and its condition number is infinite, if σmin ≤ tolerance · σmax. Its rank is the
    number of singular values over tolerance · σmax. So a zero matrix has κ = inf and rank 0, a single row or column has
    κ = 1 unless it is zero, and a matrix without entries has rank 0 and no singular value (NaN).

    All arithmetic is in float64. σmin has a relative error of a few eps·κ² while κ is under 3e4 (below 1e-6), and of a
    few eps·κ beyond, as LAPACK's SVD has. The last bits depend on the number of threads.

    Args:
        matrices: Real matrices.
        tolerance: Relative size up to which σmin counts as zero; `default_tolerance` of each matrix if None.
        block: Elements that are in float64 at one time; 2**19 on the host, for each of up to eight threads, and 2**25
            on a GPU if None. A larger matrix is read block by block, on the exact path too.

    Raises:
        UserError: One of them is not a real matrix.

    Example:
        >>> conditioning([torch.diag(torch.tensor([4.0, 2.0])), torch.ones(2, 3)]).condition_number
        tensor([2., inf], dtype=torch.float64)
    """
    for matrix in matrices:
        if matrix.ndim != 2 or matrix.is_complex():
            raise UserError(
                f"cannot give the conditioning of a {matrix.dtype} tensor of shape {tuple(matrix.shape)}; "
                "allowed: real tensors of 2 dimensions; for others use unfold or mode_conditioning"
            )
    wide = [matrix if matrix.shape[0] <= matrix.shape[1] else matrix.mT for matrix in matrices]
    return assess(wide, modes=1, tolerance=tolerance, block=block)


@torch.no_grad()
def assess(
    tensors: Sequence[Shaped[Tensor, "..."]],
    *,
    modes: int | None,
    tolerance: float | None,
    block: int | None,
    keep: bool = False,
) -> Conditioning:
    """Conditioning of the unfoldings of tensors along their first `modes` modes (all if None), tensor by tensor."""
    lengths = [tensor.ndim if modes is None else modes for tensor in tensors]
    starts = list(accumulate(lengths, initial=0))
    table = torch.empty(4, starts[-1], dtype=torch.float64, device="cpu")

    every: list[Tensor] = [torch.empty(0)] * (starts[-1] if keep else 0)

    def bound(tensor: Tensor, mode: int) -> float:
        return default_tolerance(tensor.dtype, unfolded_shape(tensor.shape, mode)) if tolerance is None else tolerance

    def fill(items: list[int]) -> None:
        some = [tensors[item] for item in items]
        summaries: list[Tensor] = []
        rows: list[int] = []
        entries: list[int] = []
        start = 0
        for unfoldings, values in singular_values(some, modes=modes, block=block):
            bounds: list[float] = []
            first = start
            for unfolding in unfoldings:
                bounds += [bound(unfolding.tensors[0], unfolding.modes[0])] * len(unfolding.indices)
                for mode in unfolding.modes:
                    rows += range(start, start + len(unfolding.indices))
                    entries += [starts[items[index]] + mode for index in unfolding.indices]
                    if keep:
                        for row, index in enumerate(unfolding.indices, start - first):
                            every[starts[items[index]] + mode] = values[row]
                start += len(unfolding.indices)
            summaries.append(_summarise(values, values.new_tensor(bounds)))
        if summaries:
            some_rows, some_entries = (torch.tensor(numbers, device="cpu") for numbers in (rows, entries))
            table.index_copy_(1, some_entries, torch.cat(summaries, dim=1).index_select(1, some_rows))

    if all(tensor.device.type == "cpu" for tensor in tensors):
        in_threads(fill, [cost(tuple(tensor.shape), modes) for tensor in tensors])
    else:  # a thread has a current stream of its own
        fill(list(range(len(tensors))))
    sigma_max, sigma_min, rank, bounds = table
    # Without entries there is no singular value and the rank is 0; with NaN among them the rank is NaN.
    finite = ~(sigma_max.isnan() & rank.isnan())
    number = torch.where(sigma_min <= bounds * sigma_max, torch.inf, sigma_max / sigma_min)
    return Conditioning(sigma_max, sigma_min, number, rank, finite, tuple(every) if keep else None)


@cache
def cost(shape: tuple[int, ...], modes: int | None = None) -> float:
    """Estimated work of the conditioning of a tensor's unfoldings along its first `modes` modes (all if None).

    On the fast path, in units that only compare with each other, for sharing out the work. It counts the products of
    the Gram matrices, their eigenvalues, moving the entries and what each call of a library costs, with weights fitted
    to times of ResNet-110's and ResNet-101's layers on one thread of a CPU, which it gives within a third.
    """
    total = 0.0
    for mode, *_ in distinct_modes(shape, modes):
        short, long = sorted(unfolded_shape(shape, mode))
        total += short**2 * long + short**3 + 20 * short * long + 800 * short**2 + 240_000
    return total


def _summarise(
    values: Float[Tensor, "batch short"], tolerances: Float[Tensor, " batch"]
) -> Float[Tensor, "quantities batch"]:
    """Of each row of singular values: the largest, the smallest, how many are over the tolerance, and the tolerance."""
    if values.shape[1] == 0:
        nothing = torch.full_like(tolerances, torch.nan)
        return torch.stack([nothing, nothing, torch.zeros_like(nothing), nothing])
    largest = values[:, 0]
    rank = (values > (tolerances * largest)[:, None]).sum(1).double()
    rank += 0.0 * largest  # NaN where the largest is
    return torch.stack([largest, values[:, -1], rank, tolerances])
