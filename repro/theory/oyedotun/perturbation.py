"""How far a least-squares solution moves with its data (Oyedotun, Proposition 3, Eq. 27 and 48 to 51)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from repro.figures.panels import Panel, Trace
from repro.theory.oyedotun.information import with_singular_values
from repro.theory.result import Case, Result
from repro.theory.statement import STATEMENTS

Matrix = Float[np.ndarray, "_ _"]
_NEEDS = STATEMENTS["oyedotun-proposition-3"].conditions
_DRAWS = 200


def solution(x: Matrix, y: Matrix) -> Matrix:
    """W = Y X†: the least-norm least-squares solution of W X = Y."""
    return y @ np.linalg.pinv(x)


def change_and_bound(
    x: Matrix, y: Matrix, change: Matrix, norm: Literal["spectral", "frobenius"] = "spectral"
) -> tuple[float, float]:
    """The relative change of the solution, and κ(X) · ‖ΔX‖ / ‖X‖ (Eq. 51), κ = ‖X‖‖X†‖, all in one norm."""
    order: Any = 2 if norm == "spectral" else "fro"
    before, after = solution(x, y), solution(x + change, y)
    moved = np.linalg.norm(after - before, order) / np.linalg.norm(before, order)
    return float(moved), float(np.linalg.norm(np.linalg.pinv(x), order) * np.linalg.norm(change, order))


def worst_ratio(n: int, samples: int, generator: np.random.Generator, norm: Literal["spectral", "frobenius"]) -> float:
    """The largest change / bound over random problems without residual, for small random perturbations."""
    worst = 0.0
    for _ in range(_DRAWS):
        x = generator.normal(size=(n, samples)) * np.logspace(0, -generator.uniform(0, 3), n)[:, None]
        y = generator.normal(size=(generator.integers(1, n + 1), n)) @ x
        change = generator.normal(size=x.shape)
        change *= 1e-7 * np.linalg.svd(x, compute_uv=False)[-1] / np.linalg.norm(change, 2)
        moved, bound = change_and_bound(x, y, change, norm)
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


def _of_few_samples(worst: Mapping[str, float], spectral: tuple[float, float]) -> list[Case]:
    """The worst ratios of random problems by norm, and change and bound of `with_few_samples` in the spectral norm."""
    moved, bound = change_and_bound(*with_few_samples(1e-6), "frobenius")
    return [
        Case(
            setting="fewer samples than features, spectral norm: X = [e₁ e₂] in three dimensions, least-norm solution",
            drops=[_NEEDS["samples"]],
            holds=spectral[0] <= spectral[1] * (1 + 1e-4),
            found=f"change / bound = {spectral[0] / spectral[1]:.3f} = √2 (at most {worst['spectral']:.3f} in {_DRAWS} "
            "random problems with N = 4, n = 8)",
        ),
        Case(
            setting="the same, Frobenius norm",
            holds=max(moved / bound, worst["frobenius"]) <= 1 + 1e-4,
            found=f"change / bound = {moved / bound:.3f}, at most {worst['frobenius']:.3f} in the random problems",
        ),
    ]


def _cases(generator: np.random.Generator) -> tuple[list[Case], dict[str, object]]:
    n = 8
    exact = {norm: worst_ratio(n, 32, generator, norm) for norm in ("spectral", "frobenius")}
    few = {norm: worst_ratio(n, 4, generator, norm) for norm in ("spectral", "frobenius")}
    fewer = change_and_bound(*with_few_samples(1e-6))
    residual = change_and_bound(*with_residual(1e-3))
    large = change_and_bound(np.eye(n), np.eye(n), -0.9 * np.eye(n))
    x, _ = with_singular_values(np.r_[np.ones(n - 1), 0.0], generator)
    finite = float(np.linalg.norm(x, 2) * np.linalg.norm(np.linalg.pinv(x, rcond=1e-12), 2))
    numbers: dict[str, object] = {
        "worst_ratio": {"N32": exact, "N4": few},
        "few_samples": {"change": fewer[0], "bound": fewer[1]},
        "residual": {"change": residual[0], "bound": residual[1]},
    }
    cases = [
        Case(
            setting="N = 32 ≥ n = 8, small changes",
            holds=max(exact.values()) <= 1 + 1e-4,
            found=f"change / bound is at most {exact['spectral']:.3f} (spectral norm) and {exact['frobenius']:.3f} "
            f"(Frobenius) in {_DRAWS} random problems each",
        ),
        *_of_few_samples(few, fewer),
        Case(
            setting="with a residual: Y = [1 99] is no multiple of X = [1 0]; ΔX = [0 0.001]",
            drops=[_NEEDS["exact"]],
            holds=residual[0] <= residual[1],
            found=f"the solution changes by {residual[0]:.3g}, the bound says {residual[1]:.3g}",
        ),
        Case(
            setting="ΔX = −0.9 X",
            drops=[_NEEDS["small"]],
            holds=large[0] <= large[1],
            found=f"{large[0]:.3g} against {large[1]:.3g}",
        ),
        Case(
            setting="a singular X, of rank 7 of 8",
            instead="whether κ = ‖X‖‖X†‖ is infinite, as Eq. 8's σmax/σmin",
            holds=finite > 1e12,
            found=f"‖X‖‖X†‖ = {finite:.3f}: the pseudo-inverse leaves out the zero",
        ),
    ]
    return cases, numbers


def proposition_3(seed: int) -> Result:
    """Changes of solutions beside the bound, where its conditions hold and where one of them does not."""
    generator = np.random.default_rng(seed)
    cases, numbers = _cases(generator)
    return Result(
        computed="Least-norm least-squares solutions of WX = Y before and after a change of X.",
        cases=cases,
        remark="Y = WX and Eq. 48 have no solution in general for N > n: W is then the least-squares solution, whose "
        "change has a term of size κ² times the residual. A4 writes W⁻¹, which no least-norm solution has for N < n; "
        "the proposition itself allows any N.",
        numbers=numbers,
        figures=[[_panel(8, generator)]],
        caption="Over the dotted line the bound is exceeded.",
    )


def _panel(n: int, generator: np.random.Generator) -> Panel:
    """Change over bound against the size of the change, without and with a residual."""
    sizes = np.logspace(-8, -0.1, 40)
    x, _ = with_singular_values(np.logspace(0, -2, n), generator)
    wide = x @ np.linalg.qr(generator.normal(size=(4 * n, n)))[0].T
    targets = generator.normal(size=(n, n)) @ wide
    direction = generator.normal(size=wide.shape)
    direction /= np.linalg.norm(direction, 2)
    problems = {
        "no residual": [(wide, targets, size * 1e-2 * direction) for size in sizes],
        "residual": [with_residual(float(size)) for size in sizes],
    }
    traces = [
        Trace(label=name, x=sizes, y=np.array([np.divide(*change_and_bound(*problem)) for problem in of_kind]))
        for name, of_kind in problems.items()
    ]
    return Panel(
        title="Change of the solution over the bound",
        x="‖ΔX‖ relative to σmin(X)",
        y="change / bound",
        x_scale="log",
        traces=traces,
        reference=1.0,
    )
