"""Paths along which the loss does not rise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.theory.nguyen import convex_losses, critical_points, descent, losses, skip_points
from repro.theory.nguyen.skip_points import Point

SEEDS = st.integers(0, 2**31)


def point(seed: int, *, samples: int = 12, neurons: int = 15) -> Point:
    generator = torch.Generator().manual_seed(seed)
    hidden = skip_points.random_hidden((10, 10), 5, generator)
    x = torch.randn(samples, 5, generator=generator, dtype=torch.float64)
    psi = hidden.neurons(x)[:, :neurons]
    v = torch.randn(neurons, 10, generator=generator, dtype=torch.float64)
    own = torch.randn(samples, 10, generator=generator, dtype=torch.float64)
    return Point(psi, own, v, torch.randint(10, (samples,), generator=generator))


@settings(max_examples=25)
@given(SEEDS)
def test_the_loss_is_convex_in_v(seed: int) -> None:
    at = point(seed % 50)
    generator = torch.Generator().manual_seed(seed)
    change = torch.randn(at.v.shape, generator=generator, dtype=torch.float64)
    values = descent.along(at, change, np.linspace(-2, 2, 21).tolist()).loss
    assert (np.diff(values, 2) >= -1e-10 * np.abs(values).max()).all()


@pytest.mark.parametrize("seed", range(5))
def test_along_the_ray_the_loss_falls_to_nothing(seed: int) -> None:
    at = point(seed)
    found = descent.ray(at)
    assert descent.rank(at) == len(at.labels)
    assert found.rise == 0
    assert (np.diff(found.loss) < 0).all()
    assert found.loss[-1] < 1e-20
    # By autograd: the gradient along the ray at its start is the closed form.
    v = at.v.clone().requires_grad_()
    losses.cross_entropy(at.own + at.features @ v, at.labels).backward()
    assert v.grad is not None
    change = skip_points.direction(at, losses.one_hot(at.labels, 10))
    slope = losses.slope_along_targets(at.scores, at.labels).item()
    assert (v.grad * change).sum().item() == pytest.approx(slope, rel=1e-8)


@settings(max_examples=25)
@given(st.floats(1e-3, 3.0), st.integers(2, 20))
def test_the_proofs_target_has_the_loss_that_it_says(epsilon: float, classes: int) -> None:
    labels = torch.arange(classes)
    scores = descent.target_scale(epsilon, classes) * losses.one_hot(labels, classes)
    assert losses.cross_entropy(scores, labels).item() == pytest.approx(epsilon / 2, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_the_proofs_segment_stays_below_its_higher_end(seed: int) -> None:
    found = descent.segment(point(seed), 0.5)
    assert found.loss[-1] == pytest.approx(0.25, rel=1e-6)
    assert found.loss.max() <= max(found.loss[0], found.loss[-1]) * (1 + 1e-9)


def test_a_path_knows_its_rise() -> None:
    assert descent.Path(np.arange(4.0), np.array([2.0, 1.0, 1.5, 0.5])).rise == pytest.approx(0.25)
    assert descent.Path(np.arange(3.0), np.array([2.0, 1.0, 0.5])).rise == 0


def test_the_square_loss_falls_as_a_parabola() -> None:
    found = convex_losses.to_minimiser(point(1), losses.square)
    np.testing.assert_allclose(found.loss, found.loss[0] * (1 - found.at) ** 2, atol=1e-9 * found.loss[0])


def test_the_printed_hessian_lacks_the_mean() -> None:
    at = point(3, neurons=5)
    exact, printed = critical_points.hessian_block(at, 2), critical_points.hessian_as_printed(at, 2)
    torch.testing.assert_close(printed / len(at.labels), exact)


@pytest.mark.parametrize("seed", range(3))
def test_the_curvature_through_psi_is_the_closed_form(seed: int) -> None:
    at = point(seed)
    closed = losses.curvature_along_targets(at.scores, at.labels).item()
    assert critical_points.curvature(at) == pytest.approx(closed, rel=1e-6)


def test_from_equal_features_a_path_leads_down_that_never_rises() -> None:
    level, down, before, after = descent.from_equal_features(3)
    assert (before, after) == (1, 50)
    assert np.ptp(level.loss) < 1e-12 * level.loss[0]
    assert down.rise < 1e-12
    assert down.loss[0] == level.loss[0]
    assert down.loss[-1] < 1e-20
    assert (np.diff(down.at) >= 0).all()
