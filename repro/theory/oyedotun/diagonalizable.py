"""Jointly diagonalizable layers: which basis vectors survive depth, in closed form and by multiplication (Oyedotun).

With one orthonormal basis for all layers, a product of layers is the product of their eigenvalues, one basis vector at
a time (Eq. 12). Closed forms are computed from logarithms of eigenvalues, so that no depth overflows; `multiply` has
matrices and vectors alone.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Eigenvalues = Float[np.ndarray, "layers n"]
DEPTH = 100


def resnet(eigenvalues: Eigenvalues) -> Eigenvalues:
    """Eigenvalues of W + I, layer by layer (Lemma 1; Eq. 17)."""
    return np.asarray(1 + eigenvalues)


def resnext(eigenvalues: Float[np.ndarray, "layers paths n"]) -> Eigenvalues:
    """Eigenvalues of Σ_k W^k + I, layer by layer (Eq. 45)."""
    return np.asarray(1 + eigenvalues.sum(1))


def log_coefficients(eigenvalues: Eigenvalues, alpha: Float[np.ndarray, " n"]) -> Float[np.ndarray, "layers n"]:
    """Log |coefficient of v_i in h^l| for every depth l (Eq. 12); −inf where it is zero."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.abs(alpha)) + np.cumsum(np.log(np.abs(eigenvalues)), 0))


def shares(eigenvalues: Eigenvalues, alpha: Float[np.ndarray, " n"]) -> Float[np.ndarray, "layers n"]:
    """Each basis vector's share of ‖h^l‖², for every depth."""
    logs = 2 * log_coefficients(eigenvalues, alpha)
    largest = logs.max(1, keepdims=True)
    squares = np.exp(logs - np.where(np.isfinite(largest), largest, 0))
    total = squares.sum(1, keepdims=True)
    return np.asarray(squares / np.where(total > 0, total, np.nan))


def distance_to_dominant(eigenvalues: Eigenvalues, alpha: Float[np.ndarray, " n"]) -> Float[np.ndarray, " layers"]:
    """Sine of the angle between h^l and v₁: 0 where only v₁ is left (Eq. 9), 1 where nothing of it is."""
    return np.asarray(np.sqrt(shares(eigenvalues, alpha)[:, 1:].sum(1)))


def log10_condition(eigenvalues: Eigenvalues) -> Float[np.ndarray, " layers"]:
    """log₁₀ κ of the product of the first l layers (Eq. 8), +inf where an eigenvalue is zero."""
    logs = log_coefficients(eigenvalues, np.ones(eigenvalues.shape[1])) / np.log(10)
    return np.asarray(logs.max(1) - logs.min(1))


def constant(*values: float, depth: int = DEPTH) -> Eigenvalues:
    """The same eigenvalues in every layer."""
    return np.tile(np.array(values, dtype=float), (depth, 1))


def multiply(
    eigenvalues: Float[np.ndarray, "layers paths n"],
    alpha: Float[np.ndarray, " n"],
    generator: np.random.Generator,
    *,
    skip: bool,
) -> tuple[Float[np.ndarray, "layers n"], Float[np.ndarray, "n n"]]:
    """Send x = Vα through layers V diag(λ) Vᵀ as the equations are written: Wh (1), Wh + h (2), Σ Wᵏh + h (4).

    V is drawn; with `skip` h is added. Returns the coefficients in V of h/‖h‖ after every layer, and the whole
    network's matrix over its largest entry.
    """
    n = len(alpha)
    basis = np.linalg.qr(generator.normal(size=(n, n)))[0]
    h, whole = basis @ alpha, np.eye(n)
    coefficients = []
    for paths in eigenvalues:
        weights = [basis @ np.diag(values) @ basis.T for values in paths]
        h, whole = ((sum(w @ x for w in weights) + (x if skip else 0)) for x in (h, whole))
        h, whole = h / np.linalg.norm(h), whole / np.abs(whole).max()
        coefficients.append(basis.T @ h)
    return np.array(coefficients), whole


def disagreement(
    coefficients: Float[np.ndarray, "layers n"], eigenvalues: Eigenvalues, alpha: Float[np.ndarray, " n"]
) -> float:
    """The largest difference between the magnitudes of `multiply`'s coefficients and the closed form's."""
    return float(np.abs(np.abs(coefficients) - np.sqrt(shares(eigenvalues, alpha))).max())


def alternating() -> Eigenvalues:
    """diag(2, 1) and diag(1, 2) in turn: each layer has a dominant eigenvalue, the product none."""
    return np.where(np.arange(DEPTH)[:, None] % 2 == np.arange(2), 2.0, 1.0)


def vanishing_dominance() -> Eigenvalues:
    """λ₁ = 1 and λ₂ = 1 − 2^−(l+1): dominated in every layer, by a product of ratios that stays above 0.577."""
    second = 1 - 0.5 ** (np.arange(1, DEPTH + 1) + 1.0)
    return np.stack([np.ones(DEPTH), second], 1)
