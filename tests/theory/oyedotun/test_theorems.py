"""Closed forms of Theorems 1 to 3 against multiplied matrices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.theory.oyedotun import diagonalizable, theorems

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
    exact, approximate = theorems.equation_16(pair, np.ones(2))
    assert exact == pytest.approx([1, (1.5 / 2) ** 100], rel=1e-10)
    assert approximate == pytest.approx([1, 2.0**-100], rel=1e-10)
    assert np.isinf(diagonalizable.log10_condition(diagonalizable.resnet(diagonalizable.constant(0.5, -1.0)))[-1])


@settings(max_examples=25)
@given(SEEDS, st.integers(1, 3), st.integers(1, 5), st.booleans())
def test_multiplied_matrices_have_the_closed_forms_coefficients(seed: int, paths: int, n: int, skip: bool) -> None:
    generator = np.random.default_rng(seed)
    eigenvalues = generator.uniform(0.2, 1.5, (6, paths, n))
    alpha = generator.uniform(0.5, 1.5, n)
    found, whole = diagonalizable.multiply(eigenvalues, alpha, generator, skip=skip)
    summed = diagonalizable.resnext(eigenvalues) if skip else eigenvalues.sum(1)
    assert diagonalizable.disagreement(found, summed, alpha) < 1e-10
    assert np.linalg.cond(whole) == pytest.approx(10 ** diagonalizable.log10_condition(summed)[-1], rel=1e-8)
    if skip:
        exact, _ = theorems.equation_16(eigenvalues.sum(1), alpha)
        np.testing.assert_allclose(found[-1], exact, atol=1e-10)


def test_a_negative_dominant_eigenvalue_is_not_dominant_in_a_resnet() -> None:
    exact, _ = theorems.equation_16(diagonalizable.constant(-0.5, 0.4), np.ones(2))
    assert exact == pytest.approx([0, 1])


def test_a_skip_hastens_the_collapse_where_an_eigenvalue_is_near_minus_one() -> None:
    near = diagonalizable.constant(1.0, -0.9)
    plain, skip = (diagonalizable.log10_condition(each)[-1] for each in (near, diagonalizable.resnet(near)))
    assert plain == pytest.approx(100 * np.log10(1 / 0.9))
    assert skip == pytest.approx(100 * np.log10(2 / 0.1))
