"""Gradients of small networks against closed forms, and Eq. 26."""

from __future__ import annotations

import pytest
import torch

from repro.theory.nguyen import losses
from repro.theory.oyedotun import backpropagation, equations, remedies


@pytest.mark.parametrize("skip", [False, True])
def test_gradients_of_a_linear_network_are_the_closed_form(skip: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    w1, w2, w3 = (torch.randn(m, 6, generator=generator, dtype=torch.float64) for m in (6, 6, 4))
    x, labels = torch.randn(6, 9, generator=generator, dtype=torch.float64), torch.arange(9) % 4
    found = backpropagation.backward([w1, w2, w3], x, labels, skip=skip, relu=False)
    h = w2 @ w1 @ x + (x if skip else 0)
    error = ((w3 @ h).softmax(0) - losses.one_hot(labels, 4).T) / 9
    torch.testing.assert_close(found.errors[2], error)
    torch.testing.assert_close(found.gradients[2], error @ h.T)
    torch.testing.assert_close(found.gradients[1], w3.T @ error @ (w1 @ x).T)
    torch.testing.assert_close(found.gradients[0], w2.T @ w3.T @ error @ x.T)
    assert max(backpropagation.ranks(found.gradients)) == 3  # classes − 1: the columns of the error sum to zero


def test_a_singular_h_makes_the_weights_gradient_singular_and_not_the_error() -> None:
    h, errors, gradients = backpropagation.collapsed(torch.Generator().manual_seed(1))
    assert max(h) == max(gradients) == 3
    assert min(errors) == 32, "more classes than units"


def test_a_free_diagonal_is_faster_at_first_and_worse_in_the_end() -> None:
    free, held = (remedies.fit(1, held=held, layers=20, steps=600).losses for held in (False, True))
    assert free[0] == held[0]
    assert free[10] < held[10]
    assert free[-1] > held[-1]


def test_equation_26_holds_as_far_as_the_update_is_larger_than_the_weights() -> None:
    generator = torch.Generator().manual_seed(0)
    old, update = torch.randn(2, 5, 6, generator=generator)
    off = equations.approximation_26(100 * update, old + 100 * update)
    assert off == pytest.approx(float(old.norm() / (old + 100 * update).norm()), rel=1e-4)
    assert off < 0.02
