"""When products of matrices are singular (Oyedotun, Lemmas 2 and 3)."""

from __future__ import annotations

import functools
import math

import numpy as np
from jaxtyping import Float

from repro.figures.panels import Panel, Trace
from repro.theory.result import Case, Result
from repro.theory.statement import STATEMENTS

Matrix = Float[np.ndarray, "_ _"]
_KERNEL = STATEMENTS["oyedotun-lemma-2"].conditions["kernel"]
_DRAWS, _SIDE = 200, 8


def full_rank(matrix: Matrix) -> bool:
    """Whether the rank is the shorter side."""
    return bool(np.linalg.matrix_rank(matrix) == min(matrix.shape))


def has_kernel(*factors: Matrix) -> bool:
    """Whether the product maps some u ≠ 0 to 0, dependent columns; to the rounding of its factors, which may cancel."""
    product = functools.reduce(np.matmul, factors)
    scale = math.prod(np.linalg.norm(factor, 2) for factor in factors)
    tolerance = max(map(max, (factor.shape for factor in factors))) * np.finfo(product.dtype).eps * scale
    return bool(np.linalg.matrix_rank(product, tol=tolerance) < product.shape[1])


def of_rank(rows: int, columns: int, rank: int, generator: np.random.Generator) -> Matrix:
    """A random matrix of a given rank, a product of two Gaussian ones."""
    return generator.normal(size=(rows, rank)) @ generator.normal(size=(rank, columns))


def shapes_decide(m: int, n: int, p: int) -> bool | None:
    """Whether the product of an m × n and an n × p matrix of full rank has full rank, from the shapes alone.

    True where it must: m ≥ n ≥ p or m ≤ n ≤ p (one factor then loses nothing that the other hands on). False where it
    cannot, n < min(m, p). None where it depends on whether ker X meets im V.
    """
    if n < min(m, p):
        return False
    return True if m >= n >= p or m <= n <= p else None


def cancelling(m: int, n: int, p: int) -> tuple[Matrix, Matrix]:
    """Factors of full rank whose product lacks rank; for n larger than both m and p.

    X reads the first m coordinates, V writes the last p: at n = m + p the product is 0.
    """
    return np.eye(m, n), np.eye(n, p)[::-1].copy()


def lemma_2(seed: int) -> Result:
    """Products with a singular right factor, for both readings of "singular"."""
    generator = np.random.default_rng(seed)
    shapes = generator.integers(1, 9, size=(_DRAWS, 3))
    kernels, deficient = [], []
    for m, n, p in shapes:
        v = of_rank(int(n), int(p), max(1, int(min(n, p)) - 1), generator)
        x = generator.normal(size=(m, n))
        if has_kernel(v):
            kernels.append(has_kernel(x, v))
        if not full_rank(v):
            deficient.append(not full_rank(x @ v))
    x, v = np.array([[1.0, 2.0, 3.0]]), np.outer([1.0, 1.0, 0.0], [1.0, 1.0, 1.0])
    product = x @ v
    square = [full_rank(generator.normal(size=(n, n)) @ of_rank(n, n, n - 1, generator)) for n in range(2, 9)]
    cases = [
        Case(
            setting="square matrices, for which all readings of “singular” agree",
            holds=not any(square),
            found=f"XV is singular in {square.count(False)} of {len(square)} products, sides 2 to 8",
        ),
        Case(
            setting="singular: some u ≠ 0 has Vu = 0 (what the proof uses)",
            holds=all(kernels),
            found=f"XV has one too in {sum(kernels)} of {len(kernels)} products of random shapes up to 8",
        ),
        Case(
            setting="singular: not of full rank min(rows, columns)",
            drops=[_KERNEL],
            holds=all(deficient),
            found=f"XV lacks rank in {sum(deficient)} of {len(deficient)}; with X = [1 2 3] and V of rank 1 "
            f"the product {product[0].astype(int).tolist()} has full rank {np.linalg.matrix_rank(product)}",
        ),
    ]
    return Result(
        computed=f"{_DRAWS} random products XV whose V lacks one rank.",
        cases=cases,
        remark="By that reading every matrix with more columns than rows is singular, so that a batch of N > n samples "
        "always gives a singular H.",
        numbers={"products_with_kernel": sum(kernels), "of": len(kernels), "deficient": sum(deficient)},
    )


def lemma_3(seed: int) -> Result:
    """Products of full-rank matrices over shapes, and factors that cancel."""
    generator = np.random.default_rng(seed)
    injective: list[bool] = []
    by_shape: dict[bool | None, list[bool]] = {True: [], False: [], None: []}
    for m, n, p in generator.integers(1, 9, size=(_DRAWS, 3)):
        x, v = generator.normal(size=(m, n)), generator.normal(size=(n, p))
        by_shape[shapes_decide(int(m), int(n), int(p))].append(full_rank(x @ v))
        if not has_kernel(x) and not has_kernel(v):
            injective.append(not has_kernel(x, v))
    x, v = cancelling(1, 2, 1)
    square = [full_rank(np.matmul(*generator.normal(size=(2, n, n)))) for n in range(2, 9)]
    cases = [
        Case(
            setting="square matrices, for which all readings of “singular” agree",
            holds=all(square),
            found=f"XV is non-singular in {sum(square)} of {len(square)} products, sides 2 to 8",
        ),
        Case(
            setting="non-singular: independent columns",
            holds=all(injective),
            found=f"XV has them too in {sum(injective)} of {len(injective)} products",
        ),
        Case(
            setting="non-singular: of full rank, m ≥ n ≥ p or m ≤ n ≤ p",
            drops=[_KERNEL],
            holds=all(by_shape[True]),
            found=f"the product has full rank in {sum(by_shape[True])} of {len(by_shape[True])}, and must have",
        ),
        Case(
            setting="of full rank, n larger than m and p, random factors",
            drops=[_KERNEL],
            holds=all(by_shape[None]),
            found=f"{sum(by_shape[None])} of {len(by_shape[None])}: the kernel of a random X misses the image of V",
        ),
        Case(
            setting="X = [1 0], V = [0 1]ᵀ, both of full rank: ker X is im V",
            drops=[_KERNEL],
            holds=full_rank(x @ v),
            found=f"XV = {float((x @ v)[0, 0]):.0f}",
        ),
        Case(
            setting="of full rank, n smaller than m and p",
            drops=[_KERNEL],
            holds=all(by_shape[False]),
            found=f"full rank in {sum(by_shape[False])} of {len(by_shape[False])}: the rank is at most n",
        ),
    ]
    return Result(
        computed=f"Ranks of {_DRAWS} products of random matrices with sides up to {_SIDE}, and of factors that cancel.",
        cases=cases,
        remark="At every critical point ΔHᵀ = 0 (Eq. 24), though Δ and H may have full rank.",
        numbers={"full_rank_where_shapes_leave_it_open": sum(by_shape[None]), "of": len(by_shape[None])},
        figures=[[_ranks(generator)]],
        caption="Below n = 8 the product cannot have full rank, at 8 it must, above it depends on the factors.",
    )


def _ranks(generator: np.random.Generator) -> Panel:
    """Ranks of products against the inner side, for random factors and for those that cancel."""
    inner = np.arange(1, 2 * _SIDE + 1)
    random = [
        np.linalg.matrix_rank(generator.normal(size=(_SIDE, n)) @ generator.normal(size=(n, _SIDE))) for n in inner
    ]
    least = [np.linalg.matrix_rank(np.matmul(*cancelling(_SIDE, int(n), _SIDE))) for n in inner]
    return Panel(
        title=f"Rank of an {_SIDE} × n times an n × {_SIDE} matrix, both of full rank",
        x="inner side n",
        y="rank of the product",
        traces=[
            Trace(label=name, x=inner.astype(float), y=np.array(ranks, dtype=float))
            for name, ranks in (("random factors", random), ("factors that cancel", least))
        ],
        y_scale="linear",
        reference=float(_SIDE),
    )
