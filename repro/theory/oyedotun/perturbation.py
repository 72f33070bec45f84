"""How far a least-squares solution moves with its data (Oyedotun, Proposition 3, Eq. 27 and 48 to 51)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from repro.figures.panels import Panel, Trace
from repro.theory.oyedotun.information import with_singular_values
from repro.theory.result import Case, Result

Matrix = Float[np.ndarray, "_ _"]
_DRAWS = 200


def solution(x: Matrix, y: Matrix) -> Matrix:
    """W = Y X†: the least-norm least-squares solution of W X = Y."""
    return y @ np.linalg.pinv(x)


def change_and_bound(
    x: Matrix, y: Matrix, change: Matrix, norm: Literal["spectral", "frobenius"] = "spectral"
) -> tuple[float, float]:
    """The relative change of the solution, and κ(X) · ‖ΔX‖ / ‖X‖ (Eq. 51), both in one norm; κ is σmax/σmin."""
    order: Any = 2 if norm == "spectral" else "fro"
    before, after = solution(x, y), solution(x + change, y)
    moved = np.linalg.norm(after - before, order) / np.linalg.norm(before, order)
    values = np.linalg.svd(x, compute_uv=False)
    bound = values[0] / values[-1] * np.linalg.norm(change, order) / np.linalg.norm(x, order)
    return float(moved), float(bound)


def worst_ratio(n: int, samples: int, generator: np.random.Generator, *, size: float = 1e-7) -> float:
    """The largest change / bound over random problems without residual, for small random perturbations."""
    worst = 0.0
    for _ in range(_DRAWS):
        x = generator.normal(size=(n, samples)) * np.logspace(0, -generator.uniform(0, 3), n)[:, None]
        y = generator.normal(size=(generator.integers(1, n + 1), n)) @ x
        change = generator.normal(size=x.shape)
        change *= size * np.linalg.svd(x, compute_uv=False)[-1] / np.linalg.norm(change, 2)
        moved, bound = change_and_bound(x, y, change)
        worst = max(worst, moved / bound)
    return worst


def with_residual(size: float) -> tuple[Matrix, Matrix, Matrix]:
    """A problem whose targets X cannot fit: change of the solution and bound are 100 to 1 for small `size`.

    X = [1 0] and Y = [1 99]: the part 99 of Y is no multiple of X. The change turns X towards it.
    """
    return np.array([[1.0, 0.0]]), np.array([[1.0, 99.0]]), np.array([[0.0, size]])


def with_few_samples(size: float) -> tuple[Matrix, Matrix, Matrix]:
    """Two samples of three features, whose least-norm solution changes by √2 times the bound.

    X = [e₁ e₂], W = e₁ᵀ, ΔX = size · [e₃ e₁]. One column turns the solution within the span of the samples, the other
    turns the span itself, and both act on the same unit.
    """
    unit = np.eye(3)
    return unit[:, :2], unit[:1, :2], size * unit[:, [2, 0]]


def proposition_3(seed: int) -> Result:
    """Changes of solutions beside the bound, where its conditions hold and where one of them does not."""
    generator = np.random.default_rng(seed)
    exact = worst_ratio(8, 32, generator)
    few = worst_ratio(8, 4, generator)
    fewer = change_and_bound(*with_few_samples(1e-6))
    residual = change_and_bound(*with_residual(1e-3))
    n = 8
    identity, one = np.eye(n), np.outer(np.eye(n)[0], np.eye(n)[0])
    frobenius = change_and_bound(identity, one, 1e-6 * one, "frobenius")
    large = change_and_bound(identity, identity, -0.9 * identity)
    x, _ = with_singular_values(np.r_[np.ones(n - 1), 0.0], generator)
    finite = float(np.linalg.norm(x, 2) * np.linalg.norm(np.linalg.pinv(x, rcond=1e-12), 2))
    values = np.linalg.svd(x, compute_uv=False)
    cases = [
        Case(
            setting="Y = WX exactly, N = 32 ≥ n = 8, small changes, spectral norm",
            conditions="complete",
            holds=exact <= 1 + 1e-4,
            found=f"change / bound is at most {exact:.3f} in {_DRAWS} random problems",
        ),
        Case(
            setting="with a residual: Y = [1 99] is no multiple of X = [1 0]; ΔX = [0 0.001]",
            conditions="as stated",
            holds=residual[0] <= residual[1],
            found=f"the solution changes by {residual[0]:.3g}, the bound says {residual[1]:.3g}",
        ),
        Case(
            setting="a change that is not small: ΔX = −0.9 X",
            conditions="beside",
            holds=large[0] <= large[1],
            found=f"{large[0]:.3g} against {large[1]:.3g}",
        ),
        Case(
            setting=f"the Frobenius norm throughout: X the {n} × {n} identity, ΔX of rank 1",
            conditions="as stated",
            holds=frobenius[0] <= frobenius[1],
            found=f"{frobenius[0]:.2g} against {frobenius[1]:.2g}: √{n} times the bound",
        ),
        Case(
            setting="fewer samples than features: X = [e₁ e₂] in three dimensions, least-norm solution",
            conditions="as stated",
            holds=fewer[0] <= fewer[1] * (1 + 1e-4),
            found=f"change / bound = {fewer[0] / fewer[1]:.3f} = √2 (at most {few:.3f} in {_DRAWS} random problems "
            "with N = 4, n = 8)",
        ),
        Case(
            setting="κ = ‖X‖‖X†‖ is infinite for a singular X, as Eq. 8's",
            conditions="as stated",
            holds=finite > 1e12,
            found=f"‖X‖‖X†‖ = {finite:.3f}, σmax/σmin = {values[0] / values[-1]:.0e} (in exact arithmetic infinite)",
        ),
    ]
    sizes = np.logspace(-8, -0.1, 40)
    x, _ = with_singular_values(np.logspace(0, -2, n), generator)
    wide = x @ np.linalg.qr(generator.normal(size=(4 * n, n)))[0].T
    targets = generator.normal(size=(n, n)) @ wide
    direction = generator.normal(size=wide.shape)
    direction /= np.linalg.norm(direction, 2)
    curves: dict[str, list[float]] = {"no residual": [], "residual": []}
    for size in sizes:
        moved, bound = change_and_bound(wide, targets, size * 1e-2 * direction)
        curves["no residual"].append(moved / bound)
        moved, bound = change_and_bound(*with_residual(float(size)))
        curves["residual"].append(moved / bound)
    return Result(
        computed="Least-norm least-squares solutions of WX = Y before and after a change of X.",
        cases=cases,
        under="targets without residual, N ≥ n and the spectral norm, to first order",
        remark="Eq. 48 has no solution in general for N > n: W + ΔW is then the least-squares solution, whose change "
        "has a term of size κ² times the residual.",
        numbers={
            "worst_ratio": {"n8_N32": exact, "n8_N4": few},
            "few_samples": {"change": fewer[0], "bound": fewer[1]},
            "residual": {"change": residual[0], "bound": residual[1]},
            "frobenius": {"change": frobenius[0], "bound": frobenius[1]},
            "large": {"change": large[0], "bound": large[1]},
            "norm_times_norm_of_pseudoinverse": finite,
        },
        figures=[
            [
                Panel(
                    title="Change of the solution over the bound",
                    x="‖ΔX‖ relative to σmin(X)",
                    y="change / bound",
                    x_scale="log",
                    traces=[Trace(label=name, x=sizes, y=np.array(values)) for name, values in curves.items()],
                    reference=1.0,
                )
            ]
        ],
        caption="Over the dotted line the bound is exceeded.",
    )
