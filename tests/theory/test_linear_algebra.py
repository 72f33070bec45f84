"""Closed forms of the linear-algebra experiments against matrices and against laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.theory.oyedotun import (
    assumptions,
    collapse,
    diagonalizable,
    information,
    perturbation,
    products,
    random_matrices,
    remedies,
)

SEEDS = st.integers(0, 2**31)


@settings(max_examples=25)
@given(SEEDS, st.integers(1, 6), st.integers(1, 8))
def test_coefficients_and_condition_are_those_of_the_product_of_matrices(seed: int, n: int, layers: int) -> None:
    generator = np.random.default_rng(seed)
    basis = np.linalg.qr(generator.normal(size=(n, n)))[0]
    eigenvalues = generator.uniform(0.2, 2.0, (layers, n)) * generator.choice([-1.0, 1.0], (layers, n))
    alpha = generator.uniform(0.5, 1.5, n)
    product = np.linalg.multi_dot([np.eye(n), np.eye(n), *(basis @ np.diag(each) @ basis.T for each in eigenvalues)])
    coefficients = basis.T @ product @ basis @ alpha
    logs = diagonalizable.log_coefficients(eigenvalues, alpha)[-1]
    np.testing.assert_allclose(np.exp(logs), np.abs(coefficients), rtol=1e-8)
    assert 10 ** diagonalizable.log10_condition(eigenvalues)[-1] == pytest.approx(np.linalg.cond(product), rel=1e-6)
    share = coefficients**2 / np.sum(coefficients**2)
    np.testing.assert_allclose(diagonalizable.shares(eigenvalues, alpha)[-1], share, atol=1e-10)
    distance = diagonalizable.distance_to_dominant(eigenvalues, alpha)[-1]
    assert distance == pytest.approx(np.sqrt(share[1:].sum()), abs=1e-7)


@settings(max_examples=25)
@given(SEEDS, st.integers(1, 4), st.integers(1, 5))
def test_skips_shift_eigenvalues(seed: int, paths: int, n: int) -> None:
    generator = np.random.default_rng(seed)
    basis = np.linalg.qr(generator.normal(size=(n, n)))[0]
    eigenvalues = generator.normal(size=(1, paths, n))
    block = np.eye(n) + sum(basis @ np.diag(each) @ basis.T for each in eigenvalues[0])
    found = np.sort(diagonalizable.resnext(eigenvalues)[0])
    np.testing.assert_allclose(found, np.linalg.eigvalsh(block), atol=1e-10)
    np.testing.assert_array_equal(diagonalizable.resnet(eigenvalues[:, 0]), 1 + eigenvalues[:, 0])


def test_the_numbers_that_the_theorems_hinge_on() -> None:
    assert np.prod(diagonalizable.vanishing_dominance()[:, 1]) == pytest.approx(0.5775761901732)
    assert 10 ** diagonalizable.log10_condition(diagonalizable.alternating())[-1] == pytest.approx(1)
    pair = diagonalizable.constant(1.0, 0.5)
    assert diagonalizable.log10_condition(diagonalizable.resnet(pair))[-1] == pytest.approx(100 * np.log10(2 / 1.5))
    assert np.ptp(diagonalizable.approximation_16(pair)) == pytest.approx(100 * np.log10(2))
    assert np.isinf(diagonalizable.log10_condition(diagonalizable.resnet(diagonalizable.constant(0.5, -1.0)))[-1])


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


@settings(max_examples=25)
@given(SEEDS, st.integers(1, 7), st.integers(1, 7), st.integers(1, 7))
def test_shapes_decide_lemma_3(seed: int, m: int, n: int, p: int) -> None:
    generator = np.random.default_rng(seed)
    full = products.full_rank(generator.normal(size=(m, n)) @ generator.normal(size=(n, p)))
    decided = products.shapes_decide(m, n, p)
    assert full == (decided is not False)
    x, v = products.cancelling(m, n, p)
    assert products.full_rank(x)
    assert products.full_rank(v)
    if decided is not None:
        assert products.full_rank(x @ v) == decided
    if n >= m + p:
        assert not (x @ v).any()


@settings(max_examples=25)
@given(SEEDS, st.integers(1, 6), st.integers(2, 6), st.integers(2, 6))
def test_a_kernel_of_the_right_factor_is_one_of_the_product(seed: int, m: int, n: int, p: int) -> None:
    generator = np.random.default_rng(seed)
    v = products.of_rank(n, p, min(n, p) - 1, generator)
    assert np.linalg.matrix_rank(v) == min(n, p) - 1
    assert products.has_kernel(generator.normal(size=(m, n)) @ v)


@settings(max_examples=25)
@given(SEEDS, st.integers(2, 5), st.integers(0, 8))
def test_the_bound_of_proposition_3_holds_to_first_order(seed: int, n: int, more: int) -> None:
    generator = np.random.default_rng(seed)
    x, _ = information.with_singular_values(np.logspace(0, -2, n), generator)
    x = np.concatenate([x, generator.normal(size=(n, more))], 1)
    y = generator.normal(size=(3, n)) @ x
    change = 1e-7 * generator.normal(size=x.shape)
    moved, bound = perturbation.change_and_bound(x, y, change)
    assert moved <= bound * (1 + 1e-4)


def test_the_bound_fails_without_its_conditions() -> None:
    moved, bound = perturbation.change_and_bound(*perturbation.with_residual(1e-3))
    assert (moved, bound) == pytest.approx((0.099, 0.001), rel=1e-3)
    moved, bound = perturbation.change_and_bound(*perturbation.with_few_samples(1e-6))
    assert moved / bound == pytest.approx(np.sqrt(2), rel=1e-5)


def test_recovery_loses_the_kernel_and_nothing_else() -> None:
    generator = np.random.default_rng(0)
    matrix, right = information.with_singular_values(np.array([2.0, 1.0, 0.5, 0.0]), generator)
    np.testing.assert_allclose(np.linalg.svd(matrix, compute_uv=False), [2, 1, 0.5, 0], atol=1e-12)
    vectors = generator.normal(size=(4, 10))
    lost = np.linalg.norm(right[:, 3] @ vectors) / np.linalg.norm(vectors)
    assert information.recovery_error(matrix, vectors) == pytest.approx(lost)
    assert information.recovery_error(matrix, right[:, :3] @ generator.normal(size=(3, 10))) < 1e-12


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


@settings(max_examples=25)
@given(SEEDS, st.floats(1.0, 1.5))
def test_products_of_nearly_isometric_layers_stay_within_their_bound(seed: int, ratio: float) -> None:
    found = remedies.conditions_of_products(ratio, 6, 4, np.random.default_rng(seed))
    for layers, kappa in enumerate(found, 1):
        assert 1 - 1e-9 <= kappa <= remedies.bound_on_product(ratio, layers) * (1 + 1e-9)
