"""A convolution as the linear map that it is on images of one size: singular values by the Fourier transform.

Sedghi, Gupta and Long (2019): where images wrap around at their borders (a circular boundary), the map falls into one
small block for every frequency, and its singular values are the blocks'. A stride of s puts the s² frequencies that
alias together into one block of out × s²·in; here the image is first folded so that its s² phases are channels, after
which the stride is 1. Groups are blocks of their own; a kernel that is larger than the image wraps around it, too; an
image whose side is no multiple of the stride is continued to the next one.

κ needs the largest and the smallest singular value of all blocks. The blocks' Gram matrices are trigonometric
polynomials in the frequency, whose coefficients are a few products of the kernel with itself, so that none is formed as
a product of its own. Their eigenvalues in single precision, wrong by less than (short side + 16) · 2⁻²⁴ · λmax (a third
of that at most in trials), say in which blocks the extremes can be; those few go through LAPACK's SVD in double
precision, so that the result is as accurate as that: a small multiple of eps·σmax in every singular value. Where the
two disagree by more than the bound, all blocks go through the SVD.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

import torch
from jaxtyping import Bool, Complex, Float, Int
from torch import Tensor

from repro.errors import UserError
from repro.spectra.conditioning import Conditioning, conditioning, default_tolerance
from repro.spectra.sharing import in_threads

Sizes = tuple[int, ...]
_AT_ONCE = 2**20  # elements of Gram matrices at one time: they stay in the cache
_SINGLE = 2.0**-24
_FEW = 8  # blocks that all go through the SVD


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """What a convolution's map is made of; a matrix with `image` () is a linear layer's own.

    A transposed convolution is the transpose of the convolution with its weight as it stands (its first axis the
    input), on images of its output's size, and has the same singular values.
    """

    weight: Float[Tensor, "out in ..."]
    """The kernel; its second axis holds the channels of one group."""
    image: Sizes = ()
    """Height and width (or one, or three sizes) of the input image."""
    stride: Sizes = ()
    dilation: Sizes = ()
    groups: int = 1

    def __post_init__(self) -> None:
        axes = self.weight.ndim - 2
        all_sizes = (self.image, self.stride or self.image, self.dilation or self.image)
        if axes < 0 or any(len(sizes) != axes for sizes in all_sizes) or self.weight.shape[0] % self.groups:
            raise UserError(
                f"no convolution has a weight of shape {tuple(self.weight.shape)}, images of {self.image}, stride "
                f"{self.stride}, dilation {self.dilation} and {self.groups} groups; allowed: a size for each axis of "
                "the kernel, and groups that divide its first axis"
            )

    @cached_property
    def grid(self) -> Sizes:
        """Size of the output image, with the input wrapped around at its edges."""
        return tuple(-(-size // step) for size, step in zip(self.image, self.stride or (1,) * 9, strict=False))

    @cached_property
    def cost(self) -> float:
        """Estimated work, in units that only compare with each other."""
        rows, columns = self.sides
        short, taps = min(rows, columns), math.prod(self.weight.shape[2:])
        blocks = self.groups * (math.prod(self.grid) / 2 + 1 if taps > 1 else 1)
        return 250_000.0 + blocks * (4_000 + 60 * short**2 + 12 * short**3) + taps**2 * short * rows * columns

    @property
    def sides(self) -> tuple[int, int]:
        """Rows and columns of the block of one frequency."""
        return self.weight.shape[0] // self.groups, self.weight.shape[1] * math.prod(self.stride)


class _Frequencies(NamedTuple):
    """One of each pair of frequencies whose blocks are conjugate, with what the shifts are there."""

    phases: Complex[Tensor, "frequencies taps"]
    counts: Int[Tensor, " frequencies"]
    """Two for a pair, one for a frequency that is its own opposite."""
    differences: tuple[tuple[list[int], list[int]], ...]
    """For one of each pair of opposite differences of two shifts: from which shifts, and to which."""
    cosines: Float[Tensor, "frequencies differences"]
    sines: Float[Tensor, "frequencies differences"]


@torch.no_grad()
def operator_conditionings(
    convolutions: Sequence[Convolution], *, tolerance: float | None = None
) -> list[Conditioning]:
    """Compute the conditioning of each convolution as a linear map of images with circular boundary, on the host.

    Sedghi, Gupta and Long, "The singular values of convolutional layers" (2019), also for strides, dilation and groups
    (docs/measurements.md, operators). σmin is the min(rows, columns)-th singular value of the map. The rank counts
    singular values over tolerance · σmax. κ is infinite if σmin is not over it. All are NaN if the weight has NaN or
    infinite entries.

    Args:
        convolutions: Weights (outputs × inputs × kernel) with the size of their images, stride, dilation and groups.
        tolerance: Relative size up to which σmin counts as zero; the default of `conditioning` for each block if None.

    Returns:
        One `Conditioning` with one entry for each convolution.

    Example:
        >>> identity = torch.zeros(2, 2, 3, 3)
        >>> identity[[0, 1], [0, 1], 1, 1] = 1
        >>> operator_conditionings([Convolution(weight=identity, image=(8, 8))])[0].condition_number.round(decimals=6)
        tensor([1.], dtype=torch.float64)
    """
    table = torch.full((4, len(convolutions)), torch.nan, dtype=torch.float64)

    def work(indices: list[int]) -> None:
        alike: defaultdict[object, list[int]] = defaultdict(list)
        for index in indices:
            layer = convolutions[index]
            if layer.weight.numel() and layer.weight.isfinite().all():
                shape, dtype = layer.weight.shape, layer.weight.dtype
                alike[shape, dtype, layer.image, layer.stride, layer.dilation, layer.groups].append(index)
        for some in alike.values():
            table[:, some] = _extremes([convolutions[index] for index in some], tolerance)

    in_threads(work, [layer.cost for layer in convolutions])
    high, low, kappa, rank = table
    return Conditioning(high, low, kappa, rank, ~rank.isnan()).split([1] * len(convolutions))


@torch.no_grad()
def operator_singular_values(convolution: Convolution) -> Float[Tensor, " values"]:
    """All singular values of a convolution's map, descending, each as often as it occurs; NaN as above."""
    if not convolution.weight.isfinite().all():
        count = math.prod(convolution.grid) * convolution.groups * min(convolution.sides)
        return torch.full((count,), torch.nan, dtype=torch.float64)
    taps, scales, frequencies = _fold([convolution])
    blocks = torch.einsum("ft,gtsl->fgsl", frequencies.phases, taps[0].to(torch.complex128))
    values = torch.linalg.svdvals(blocks).flatten(1)
    every: Tensor = scales * values.repeat_interleave(frequencies.counts, 0).flatten()
    return every.sort(descending=True).values


def _extremes(alike: Sequence[Convolution], tolerance: float | None) -> Float[Tensor, "quantities layers"]:
    """σmax, σmin, κ and rank of convolutions of one kind."""
    one = alike[0]
    if tolerance is None:
        tolerance = default_tolerance(one.weight.dtype, one.sides)
    taps, scales, frequencies = _fold(alike)
    layers, groups, count, short, _ = taps.shape
    if count == groups == 1:  # one matrix, whatever the frequency
        result = conditioning(list(taps[:, 0, 0]), tolerance=tolerance)
        rank = result.rank * math.prod(one.grid)
        return torch.stack([result.sigma_max * scales, result.sigma_min * scales, result.condition_number, rank])
    if count == 1 or len(frequencies.counts) * groups <= _FEW:
        kept = torch.ones(len(frequencies.counts), layers, groups, dtype=torch.bool)
        values = _values(taps, frequencies, kept)
    else:
        kept, values = _screened(taps, frequencies)
    frequency, layer, _ = kept.nonzero(as_tuple=True)
    high = values.new_zeros(layers).scatter_reduce_(0, layer, values[:, 0], "amax")
    low = values.new_full((layers,), torch.inf).scatter_reduce_(0, layer, values[:, -1], "amin")
    below = (values <= tolerance * high[layer, None]).sum(1) * frequencies.counts[frequency]
    rank = math.prod(one.grid) * groups * short - high.new_zeros(layers).index_add_(0, layer, below.double())
    kappa = torch.where(low <= tolerance * high, torch.inf, high / low)
    return torch.stack([high * scales, low * scales, kappa, rank])


def _screened(
    taps: Float[Tensor, "layers groups taps short long"], frequencies: _Frequencies
) -> tuple[Bool[Tensor, "frequencies layers groups"], Float[Tensor, "kept short"]]:
    """The blocks in which a layer's extremes can be, and their singular values."""
    low, high = _eigenvalues(taps, frequencies)
    slack = (taps.shape[3] + 16) * _SINGLE * high.amax((0, 2))[:, None]
    first = torch.zeros_like(low, dtype=torch.bool)  # where they seem to be: what is there bounds the search
    for ends in (low, -high):
        first |= ends == ends.amin((0, 2), keepdim=True)
    values = _values(taps, frequencies, first)
    layer = first.nonzero(as_tuple=True)[1]
    largest = values.new_zeros(taps.shape[0]).scatter_reduce_(0, layer, values[:, 0] ** 2, "amax")
    smallest = values.new_full((taps.shape[0],), torch.inf).scatter_reduce_(0, layer, values[:, -1] ** 2, "amin")
    kept = (low <= smallest[:, None] + slack) | (high >= largest[:, None] - slack) | first
    every = values.new_empty(*kept.shape, values.shape[1])
    every[first], rest = values, kept & ~first
    every[rest] = _values(taps, frequencies, rest)
    values = every[kept]
    exact = values[:, [-1, 0]].T ** 2
    if ((torch.stack([low[kept], high[kept]]) - exact).abs() > slack[kept.nonzero(as_tuple=True)[1]].T).any():
        kept = torch.ones_like(kept)  # never seen
        values = _values(taps, frequencies, kept)
    return kept, values


def _values(
    taps: Float[Tensor, "layers groups taps short long"],
    frequencies: _Frequencies,
    kept: Bool[Tensor, "frequencies layers groups"],
) -> Float[Tensor, "kept short"]:
    """Singular values of some blocks, in the order of `kept`."""
    frequency, layer, group = kept.nonzero(as_tuple=True)
    size = max(_AT_ONCE // taps[0, 0, 0].numel(), 1)
    values = [taps.new_empty(0, taps.shape[3])]
    for at, of, in_group in zip(*(indices.split(size) for indices in (frequency, layer, group)), strict=True):
        parts = torch.view_as_real(frequencies.phases[at]).mT @ taps[of, in_group].flatten(2)
        blocks = torch.complex(*parts.unbind(1)).view(-1, *taps.shape[3:])
        values.append(torch.linalg.svdvals(blocks))
    return torch.cat(values)


def _eigenvalues(
    taps: Float[Tensor, "layers groups taps short long"], frequencies: _Frequencies
) -> Float[Tensor, "ends frequencies layers groups"]:
    """Smallest and largest eigenvalue of each block's Gram matrix, in single precision."""
    layers, groups, _, short, _ = taps.shape
    joined = taps.movedim(2, 3)  # layers, groups, short, taps, long
    products = torch.stack(
        [joined[..., one, :].flatten(3) @ joined[..., other, :].flatten(3).mT for one, other in frequencies.differences]
    )
    even, odd = (products + products.mT).flatten(1), (products - products.mT).flatten(1)
    ends = []
    size = max(_AT_ONCE // even.shape[1], 1)
    for cosines, sines in zip(frequencies.cosines.split(size), frequencies.sines.split(size), strict=True):
        gram = torch.complex((cosines @ even).float(), (sines @ odd).float()).view(-1, short, short)
        ends.append(torch.linalg.eigvalsh(gram)[:, [0, -1]].T.reshape(2, -1, layers, groups).double())
    return torch.cat(ends, dim=1)


def _fold(
    alike: Sequence[Convolution],
) -> tuple[Float[Tensor, "layers groups taps short long"], Float[Tensor, " layers"], _Frequencies]:
    """Kernels' matrices by shift, the phases of the image as channels, turned so that rows are few.

    Beside them what each layer's have been divided by, a power of two, and the frequencies.
    """
    one, layers = alike[0], len(alike)
    weights = torch.stack([layer.weight.detach().to("cpu", torch.float64) for layer in alike])
    scales = weights.flatten(1).abs().amax(1)
    scales = torch.where(scales > 0, scales / (2 * torch.frexp(scales).mantissa), 1.0)  # 2.0 ** exponent is float32
    axes = len(one.image)
    stride, dilation = one.stride or (1,) * axes, one.dilation or (1,) * axes
    sides = [step * size for step, size in zip(stride, one.grid, strict=True)]
    where = []
    for position in itertools.product(*map(range, one.weight.shape[2:])):
        at = [tap * wide % side for tap, wide, side in zip(position, dilation, sides, strict=True)]
        shift, phase = (tuple(part) for part in zip(*map(divmod, at, stride), strict=True)) if axes else ((), ())
        where.append((shift, phase))
    shifts = tuple(dict.fromkeys(shift for shift, _ in where))
    phases = {phase: number for number, phase in enumerate(itertools.product(*map(range, stride)))}
    rows, channels = one.weight.shape[0] // one.groups, one.weight.shape[1]
    flat = (weights / scales.view(-1, *(1,) * one.weight.ndim)).view(layers, one.groups, rows, channels, -1)
    taps = flat.new_zeros(layers, one.groups, len(shifts), rows, len(phases), channels)
    for number, (shift, phase) in enumerate(where):
        taps[:, :, shifts.index(shift), :, phases[phase]] += flat[..., number]
    taps = taps.flatten(4)
    return taps if rows <= taps.shape[4] else taps.mT.contiguous(), scales, _frequencies(shifts, one.grid)


@cache
def _frequencies(shifts: tuple[Sizes, ...], grid: Sizes) -> _Frequencies:
    """The frequencies of a grid; with one shift all blocks are alike, and one stands for them."""
    if len(shifts) == 1:
        one = torch.ones(1, 1, dtype=torch.float64)
        return _Frequencies(one.to(torch.complex128), torch.tensor([math.prod(grid)]), (), one, one)

    def opposite(frequency: Sizes) -> Sizes:
        return tuple(-coordinate % size for coordinate, size in zip(frequency, grid, strict=True))

    counts = {frequency: 1 + (frequency != opposite(frequency)) for frequency in itertools.product(*map(range, grid))}
    counts = {frequency: count for frequency, count in counts.items() if frequency <= opposite(frequency)}
    differences: dict[Sizes, tuple[list[int], list[int]]] = {}
    for one_, other in itertools.product(range(len(shifts)), repeat=2):
        between = tuple((a - b) % size for a, b, size in zip(shifts[one_], shifts[other], grid, strict=True))
        if between <= opposite(between):
            pair = differences.setdefault(between, ([], []))
            pair[0].append(one_)
            pair[1].append(other)
    turns = torch.tensor(list(counts), dtype=torch.float64) / torch.tensor(grid) * 2 * math.pi
    angles = turns @ torch.tensor(list(differences), dtype=torch.float64).T
    at_shifts = turns @ torch.tensor(shifts, dtype=torch.float64).T
    halves = torch.tensor([0.5 if between == opposite(between) else 1.0 for between in differences])
    return _Frequencies(
        torch.polar(torch.ones_like(at_shifts), at_shifts),
        torch.tensor(list(counts.values())),
        tuple(differences.values()),
        angles.cos() * halves,
        angles.sin() * halves,
    )
