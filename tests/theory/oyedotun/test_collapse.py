"""How fast representations collapse."""

from __future__ import annotations

import numpy as np
import pytest

from repro.theory.oyedotun import collapse


def test_kappa_of_random_products_grows_as_lyapunov_exponents_say() -> None:
    n, layers = 8, 4000
    maps = np.random.default_rng(0).normal(size=(layers, n, n)) / np.sqrt(n)
    slope = collapse.log_condition(maps)[-1] / layers
    assert slope == pytest.approx(collapse.plain_growth(n), rel=0.03)


def test_kappa_beyond_float64_agrees_with_exact_diagonal_products() -> None:
    maps = np.tile(np.diag([2.0, 1.0, 0.25]), (500, 1, 1))
    np.testing.assert_allclose(collapse.log_condition(maps), np.arange(1, 501) * np.log10(8))


def test_the_leading_share_is_one_for_multiples_of_a_column() -> None:
    assert collapse.leading_share(np.outer(np.arange(1.0, 4), np.arange(1.0, 5))) == pytest.approx(1)
    assert collapse.leading_share(np.eye(4)) == pytest.approx(0.25)
