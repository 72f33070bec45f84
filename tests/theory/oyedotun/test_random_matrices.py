"""Random matrices against the laws of random matrix theory."""

from __future__ import annotations

import numpy as np
import pytest

from repro.theory.oyedotun import assumptions, random_matrices


def test_random_spectra_are_real_as_often_as_the_law_says() -> None:
    draws = 20_000
    found = assumptions.share_of_real_spectra(2, draws, np.random.default_rng(0))
    assert found == pytest.approx(assumptions.expected_share(2), abs=4 * np.sqrt(0.25 / draws))
    assert assumptions.expected_share(2) == pytest.approx(1 / np.sqrt(2))
    assert assumptions.rotation_condition(1000, 0.7) == pytest.approx(1)


def test_the_smallest_singular_value_follows_edelmans_law() -> None:
    generator = np.random.default_rng(1)
    values = np.linalg.svd(generator.normal(size=(2000, 24, 24)), compute_uv=False)[:, -1] * np.sqrt(24)
    assert random_matrices.distance_to_law(values) < 0.035  # Kolmogorov's 1 % point is 0.036
    assert random_matrices.distance_to_law(2 * values) > 0.1
    # The derivative of the distribution is the published density (1 + x) e^(−x²/2 − x).
    x = np.linspace(0.1, 2, 20)
    slope = (random_matrices.edelman(x + 1e-6) - random_matrices.edelman(x - 1e-6)) / 2e-6
    np.testing.assert_allclose(slope, (1 + x) * np.exp(-(x**2) / 2 - x), rtol=1e-6)


def test_the_mean_logarithm_of_kappa_follows_edelmans_law() -> None:
    values = np.linalg.svd(np.random.default_rng(2).normal(size=(400, 64, 64)), compute_uv=False)
    assert np.mean(np.log(values[:, 0] / values[:, -1])) == pytest.approx(
        random_matrices.mean_log_condition(64), abs=0.2
    )
