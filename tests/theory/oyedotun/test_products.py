"""Products of matrices, what they lose, and what a solution does with them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from repro.theory.oyedotun import information, perturbation, products, remedies

SEEDS = st.integers(0, 2**31)


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
@example(237112766, 2, 2, 2)  # the product is small beside its factors: they cancel
def test_a_kernel_of_the_right_factor_is_one_of_the_product(seed: int, m: int, n: int, p: int) -> None:
    generator = np.random.default_rng(seed)
    v = products.of_rank(n, p, min(n, p) - 1, generator)
    assert np.linalg.matrix_rank(v) == min(n, p) - 1
    assert products.has_kernel(generator.normal(size=(m, n)), v)


def test_recovery_loses_the_kernel_and_nothing_else() -> None:
    generator = np.random.default_rng(0)
    matrix, right = information.with_singular_values(np.array([2.0, 1.0, 0.5, 0.0]), generator)
    np.testing.assert_allclose(np.linalg.svd(matrix, compute_uv=False), [2, 1, 0.5, 0], atol=1e-12)
    vectors = generator.normal(size=(4, 10))
    lost = np.linalg.norm(right[:, 3] @ vectors) / np.linalg.norm(vectors)
    assert information.recovery_error(matrix, vectors) == pytest.approx(lost)
    assert information.recovery_error(matrix, right[:, :3] @ generator.normal(size=(3, 10))) < 1e-12


@settings(max_examples=25)
@given(SEEDS, st.floats(1.0, 1.5))
def test_products_of_nearly_isometric_layers_stay_within_their_bound(seed: int, ratio: float) -> None:
    found = remedies.conditions_of_products(ratio, 6, 4, np.random.default_rng(seed))
    for layers, kappa in enumerate(found, 1):
        assert 1 - 1e-9 <= kappa <= remedies.bound_on_product(ratio, layers) * (1 + 1e-9)


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
    few = perturbation.with_few_samples(1e-6)
    for norm, ratio in (("spectral", np.sqrt(2)), ("frobenius", np.sqrt(0.5))):
        moved, bound = perturbation.change_and_bound(*few, norm)
        assert moved / bound == pytest.approx(ratio, rel=1e-5)


def test_the_bound_is_in_the_norm_that_is_used_throughout() -> None:
    eye, one = np.eye(8), np.outer(np.eye(8)[0], np.eye(8)[0])
    moved, bound = perturbation.change_and_bound(eye, one, 1e-6 * one, "frobenius")
    assert (moved, bound) == pytest.approx((1e-6, np.sqrt(8) * 1e-6), rel=1e-5)
