"""How special jointly diagonalizable layers are (Oyedotun, Assumption 1 and Definition 1)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from repro.figures.panels import Panel, Trace
from repro.theory.result import Case, Result
from repro.theory.statement import STATEMENTS

_NEEDS = STATEMENTS["oyedotun-assumption-1"].conditions
_DRAWS = 4000
_SIZES = (1, 2, 3, 4, 5, 6, 8)


def share_of_real_spectra(n: int, draws: int, generator: np.random.Generator) -> float:
    """Share of n × n Gaussian matrices all of whose eigenvalues are real."""
    eigenvalues = np.linalg.eigvals(generator.normal(size=(draws, n, n)))
    return float(np.mean(np.abs(eigenvalues.imag).max(1) == 0))


def expected_share(n: int) -> float:
    """The probability that all eigenvalues are real: 2^(−n(n−1)/4) (Edelman 1997, for Gaussian entries)."""
    return float(2.0 ** (-n * (n - 1) / 4))


def commutator(a: Float[np.ndarray, "n n"], b: Float[np.ndarray, "n n"]) -> float:
    """‖ab − ba‖ / (√2 ‖a‖ ‖b‖), Frobenius: 0 for jointly diagonalizable layers, at most 1 (Böttcher, Wenzel 2008)."""
    return float(np.linalg.norm(a @ b - b @ a) / (np.sqrt(2) * np.linalg.norm(a) * np.linalg.norm(b)))


def rotation_condition(depth: int, angle: float) -> float:
    """κ of a product of so many rotations of the plane by an angle."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return float(np.linalg.cond(np.linalg.matrix_power(turn, depth)))


def orthogonal(n: int, generator: np.random.Generator) -> tuple[float, float]:
    """The commutator of two layers with one orthogonal basis, and how far a vector is from its sum over the basis."""
    basis = np.linalg.qr(generator.normal(size=(n, n)))[0]
    together = commutator(*(basis @ np.diag(generator.normal(size=n)) @ basis.T for _ in range(2)))
    x = generator.normal(size=n)
    return together, float(np.linalg.norm(basis @ (basis.T @ x) - x) / np.linalg.norm(x))


def oblique(n: int, generator: np.random.Generator) -> tuple[float, float]:
    """The commutator of two layers with one basis of Gaussian vectors, and the basis' largest |cosine|."""
    basis = generator.normal(size=(n, n))
    basis /= np.linalg.norm(basis, axis=0)
    layers = [basis @ np.diag(generator.normal(size=n)) @ np.linalg.inv(basis) for _ in range(2)]
    return commutator(*layers), float(np.abs(basis.T @ basis - np.eye(n)).max())


def assumption_1(seed: int) -> Result:
    """What the assumption gives, and how often layers that are drawn at random meet it."""
    generator = np.random.default_rng(seed)
    fractions = np.array([share_of_real_spectra(n, _DRAWS, generator) for n in _SIZES])
    n = 32
    a, b = generator.normal(size=(2, n, n))
    together, expressed = orthogonal(n, generator)
    apart, (leaning, cosine) = commutator(a, b), oblique(8, generator)
    kappa, two = rotation_condition(1000, 0.7), float(fractions[_SIZES.index(2)])
    cases = [
        Case(
            setting="symmetric layers with one orthogonal basis",
            holds=max(together, expressed) < 1e-12,
            found=f"two of them commute to {together:.0e}, and an x is Σ αᵢvᵢ to {expressed:.0e}",
        ),
        Case(
            setting="two layers with one basis of random vectors",
            drops=[_NEEDS["orthogonal"]],
            holds=cosine < 1e-12,
            found=f"they commute (to {leaning:.0e}), but two of the vectors have a cosine of {cosine:.2f}",
        ),
        Case(
            setting="two random 32 × 32 layers",
            drops=[_NEEDS["joint"]],
            holds=apart < 1e-12,
            found=f"their commutator is {apart:.2f} of its largest possible norm",
        ),
        Case(
            setting="random 2 × 2 layers have real eigenvalues",
            drops=[_NEEDS["joint"], _NEEDS["real"]],
            holds=two == 1,
            found=f"{two:.3f} of {_DRAWS:,} draws (the law says 0.707)",
        ),
        Case(
            setting="layers that rotate the plane: a common basis, but a complex one",
            drops=[_NEEDS["real"]],
            holds=kappa > 1e3,
            found=f"κ = {kappa:.6f} after 1,000 layers: no vector dominates, nothing collapses",
        ),
    ]
    return Result(
        computed=f"Eigenvalues of {_DRAWS:,} Gaussian matrices of each size, the commutator of two layers, and κ of a "
        "product of rotations.",
        cases=cases,
        remark="An assumption cannot fail; random and trained layers do not meet it. The theorems are therefore about "
        "a model of a network; the growth for general layers is with Remarks 1 to 3.",
        numbers={"real_spectra": dict(zip(map(str, _SIZES), fractions.tolist(), strict=True)), "commutator": apart},
        figures=[[_drawn(fractions)]],
        caption="The share of Gaussian n × n matrices that have a real eigenvalue for every dimension.",
    )


def _drawn(fractions: Float[np.ndarray, " sizes"]) -> Panel:
    sizes, shown = np.array(_SIZES, dtype=float), fractions > 0
    law = Trace(label="law 2^(−n(n−1)/4)", x=sizes, y=np.array([expected_share(n) for n in _SIZES]))
    drawn = Trace(label="drawn", x=sizes[shown], y=fractions[shown], kind="points")
    return Panel(title="Random layers with real eigenvalues only", x="size n", y="probability", traces=[law, drawn])
