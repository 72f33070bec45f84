"""Eigenvalues at both ends, and the trace, of a symmetric matrix that is only known by its products with vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Product = Callable[[Tensor], Tensor]


class Ritz(NamedTuple):
    """Approximate eigenvalues, ascending, each with a bound on its distance from an eigenvalue."""

    values: Float[Tensor, " steps"]
    errors: Float[Tensor, " steps"]


def lanczos(product: Product, start: Float[Tensor, " side"], *, steps: int, tolerance: float = 1e-4) -> Ritz:
    """The values of at most so many steps of Lanczos's iteration, every vector kept orthogonal to all before.

    It ends early where the largest and the smallest are within tolerance · |the largest in magnitude|, and where the
    vectors reach no further: the values are then eigenvalues. Ends that are clustered converge slowly; `Ritz.errors`
    says how far they are off. As many vectors as steps are held. NaN alone where a product is not finite. The start is
    not zero; an eigenvector that it has no part of is not found.
    """
    vector = start / start.norm()
    basis: list[Tensor] = []
    diagonal: list[float] = []
    beside: list[float] = []
    nothing = torch.full((1,), torch.nan, dtype=torch.float64)
    ritz = Ritz(nothing, nothing)
    for _ in range(min(steps, len(start))):
        basis.append(vector)
        rest = product(vector)
        diagonal.append(_dot(rest, vector))
        for _ in range(2):  # a second time takes away what rounding left
            for earlier in basis:
                rest = rest - _dot(rest, earlier) * earlier
        length = _dot(rest, rest) ** 0.5
        if not torch.tensor([diagonal[-1], length]).isfinite().all():
            return Ritz(nothing, nothing)
        matrix = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
        if beside:
            off = torch.tensor(beside, dtype=torch.float64)
            matrix = matrix + torch.diag(off, 1) + torch.diag(off, -1)
        values, vectors = torch.linalg.eigh(matrix)
        ritz = Ritz(values, length * vectors[-1].abs())
        scale = float(values.abs().max())
        if float(ritz.errors[[0, -1]].max()) <= tolerance * scale or length <= torch.finfo(start.dtype).eps * scale:
            break
        beside.append(length)
        vector = rest / length
    return ritz


def signs(side: int, count: int, generator: torch.Generator, like: Tensor) -> Iterator[Float[Tensor, " side"]]:
    """Random vectors of ±1 (Hutchinson 1990), as many as `count`, of a side, of the dtype and device of `like`.

    The mean of v·Av over them is the trace of A, exactly if A is diagonal. The generator is on the CPU.
    """
    for _ in range(count):
        bits = torch.randint(2, (side,), generator=generator, dtype=torch.int8)
        yield bits.to(like.device, like.dtype) * 2 - 1


def _dot(one: Tensor, other: Tensor) -> float:
    return float((one * other).sum(dtype=torch.float64))
