"""How special jointly diagonalizable layers are (Oyedotun, Assumption 1 and Definition 1)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from repro.figures.panels import Panel, Trace
from repro.theory.result import Case, Result

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
    """‖ab − ba‖ / (2 ‖a‖ ‖b‖) in the Frobenius norm: 0 for jointly diagonalizable matrices, at most 1."""
    return float(np.linalg.norm(a @ b - b @ a) / (2 * np.linalg.norm(a) * np.linalg.norm(b)))


def rotation_condition(depth: int, angle: float) -> float:
    """κ of a product of so many rotations of the plane by an angle."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return float(np.linalg.cond(np.linalg.matrix_power(turn, depth)))


def assumption_1(seed: int) -> Result:
    """How often random layers have real eigenvalues, commute, or have orthogonal eigenvectors."""
    generator = np.random.default_rng(seed)
    found = [share_of_real_spectra(n, _DRAWS, generator) for n in _SIZES]
    expected = [expected_share(n) for n in _SIZES]
    a, b = generator.normal(size=(2, 32, 32))
    basis = np.linalg.qr(generator.normal(size=(32, 32)))[0]
    joint = [basis @ np.diag(generator.normal(size=32)) @ basis.T for _ in range(2)]
    apart, together = commutator(a, b), commutator(*joint)
    kappa = rotation_condition(1000, 0.7)
    two = found[_SIZES.index(2)]
    cases = [
        Case(
            setting="symmetric layers with one orthogonal basis",
            conditions="complete",
            holds=together < 1e-12,
            found=f"two of them commute to {together:.0e}",
        ),
        Case(
            setting="two random 32 × 32 layers",
            conditions="as stated",
            holds=apart < 1e-12,
            found=f"their commutator is {apart:.2f} of its largest possible norm",
        ),
        Case(
            setting="random 2 × 2 layers have real eigenvalues",
            conditions="as stated",
            holds=two == 1,
            found=f"{two:.3f} of {_DRAWS:,} draws (the law says 0.707)",
        ),
        Case(
            setting="a layer that rotates: its eigenvalues are complex",
            conditions="as stated",
            holds=kappa > 1e3,
            found=f"κ = {kappa:.6f} after 1,000 layers: no vector dominates, nothing collapses",
        ),
    ]
    sizes = np.array(_SIZES, dtype=float)
    shown = np.array(found) > 0
    return Result(
        computed=f"Eigenvalues of {_DRAWS:,} Gaussian matrices of each size, the commutator of two layers, and κ of a "
        "product of rotations.",
        cases=cases,
        under="layers that are normal, with real eigenvalues, and commute, which random or trained layers do not",
        remark="The theorems are therefore about a model of a network; the growth for general layers is with Remarks "
        "1 to 3.",
        numbers={"real_spectra": dict(zip(map(str, _SIZES), found, strict=True)), "commutator": apart},
        figures=[
            [
                Panel(
                    title="Random layers with real eigenvalues only",
                    x="size n",
                    y="probability",
                    traces=[
                        Trace(label="law 2^(−n(n−1)/4)", x=sizes, y=np.array(expected)),
                        Trace(label="drawn", x=sizes[shown], y=np.array(found)[shown], kind="points"),
                    ],
                )
            ]
        ],
        caption="The share of Gaussian n × n matrices that have a real eigenvalue for every dimension.",
    )
