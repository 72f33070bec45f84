"""What a singular or ill-conditioned map loses (Oyedotun, Proposition 2 and Eq. 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from repro.figures.panels import Panel, Trace
from repro.theory.result import Case, Result
from repro.theory.statement import STATEMENTS

_NEEDS = STATEMENTS["oyedotun-proposition-2"].conditions
_SIZE, _VECTORS = 32, 200


def with_singular_values(
    values: Float[np.ndarray, " n"], generator: np.random.Generator
) -> tuple[Float[np.ndarray, "n n"], Float[np.ndarray, "n n"]]:
    """A matrix with these singular values and random singular vectors; beside it its right singular vectors."""
    left, right = (np.linalg.qr(generator.normal(size=(len(values), len(values))))[0] for _ in range(2))
    return left @ np.diag(values) @ right.T, right


def recovery_error(
    matrix: Float[np.ndarray, "m n"],
    vectors: Float[np.ndarray, "n vectors"],
    *,
    noise: Float[np.ndarray, "m vectors"] | None = None,
    cutoff: float = 1e-13,
) -> float:
    """‖v − M†(Mv + noise)‖ / ‖v‖ in the Frobenius norm, for all vectors v (columns) together.

    Singular values up to `cutoff` times the largest count as zero in M†.
    """
    seen = matrix @ vectors + (0 if noise is None else noise)
    return float(np.linalg.norm(vectors - np.linalg.pinv(matrix, rcond=cutoff) @ seen) / np.linalg.norm(vectors))


def proposition_2(seed: int) -> Result:
    """Recovery through a singular map, and through ill-conditioned ones with noise and with a cut-off."""
    generator = np.random.default_rng(seed)
    singular, right = with_singular_values(np.r_[np.ones(_SIZE - 4), np.zeros(4)], generator)
    vectors = generator.normal(size=(_SIZE, _VECTORS))
    kept = right[:, :-4] @ right[:, :-4].T @ vectors
    lost, safe = recovery_error(singular, vectors), recovery_error(singular, kept)
    kappas, curves = _against_kappa(vectors, generator)
    at = {name: errors[int(np.searchsorted(kappas, 1e10))] for name, errors in curves.items()}
    cases = [
        Case(
            setting=f"M of rank {_SIZE - 4} of {_SIZE}, random v",
            holds=lost > 0.1,
            found=f"relative error of recovery {lost:.2f} (√(4/{_SIZE}) = {np.sqrt(4 / _SIZE):.2f})",
        ),
        Case(
            setting="the same M; only v that have no part in ker M",
            drops=[_NEEDS["any"]],
            holds=safe > 0.1,
            found=f"error {safe:.0e}: nothing is lost, although M is singular",
        ),
        Case(
            setting="κ = 10¹⁰, without noise",
            drops=[_NEEDS["singular"]],
            holds=at["no noise"] > 0.1,
            found=f"error {at['no noise']:.0e}: ill-conditioning alone loses only digits",
        ),
        Case(
            setting="κ = 10¹⁰, noise of 1e-6",
            drops=[_NEEDS["singular"]],
            holds=at["noise 1e-6"] > 0.1,
            found=f"error {at['noise 1e-6']:.0e}; with a cut-off at 1e-4 {at['noise 1e-6, cut-off 1e-4']:.2f}",
        ),
    ]
    return Result(
        computed=f"{_VECTORS} random vectors sent through M and back through M†, in float64.",
        cases=cases,
        remark="Near-singularity loses information only together with noise (or rounding), which κ amplifies.",
        numbers={"lost": lost, "avoiding_the_kernel": safe, "kappa": kappas.tolist(), "error": curves},
        figures=[[_panel(kappas, curves)]],
        caption="Singular values spread evenly (in logarithms) from 1 to 1/κ. The dotted line is total loss.",
    )


def _panel(kappas: Float[np.ndarray, " kappas"], curves: Mapping[str, Sequence[float]]) -> Panel:
    return Panel(
        title="Recovery against conditioning",
        x="κ(M)",
        y="relative error of M†(Mv + noise)",
        x_scale="log",
        traces=[Trace(label=name, x=kappas, y=np.array(errors)) for name, errors in curves.items()],
        reference=1.0,
    )


def _against_kappa(
    vectors: Float[np.ndarray, "n vectors"], generator: np.random.Generator
) -> tuple[Float[np.ndarray, " kappas"], dict[str, list[float]]]:
    """Recovery's error for κ from 1 to 1e14: without noise, with noise, with noise and a cut-off."""
    kappas = np.logspace(0, 14, 29)
    curves: dict[str, list[float]] = {"no noise": [], "noise 1e-6": [], "noise 1e-6, cut-off 1e-4": []}
    for kappa in kappas:
        matrix, _ = with_singular_values(np.logspace(0, -np.log10(kappa), _SIZE), generator)
        noise = generator.normal(size=vectors.shape)
        noise *= 1e-6 * np.linalg.norm(vectors) / np.linalg.norm(noise)
        curves["no noise"].append(recovery_error(matrix, vectors, cutoff=0.0))
        curves["noise 1e-6"].append(recovery_error(matrix, vectors, noise=noise, cutoff=0.0))
        curves["noise 1e-6, cut-off 1e-4"].append(recovery_error(matrix, vectors, noise=noise, cutoff=1e-4))
    return kappas, curves
