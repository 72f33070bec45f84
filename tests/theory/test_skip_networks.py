"""Nguyen's losses, paths and features against closed forms, finite differences and other implementations."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from repro.spectra import conditioning
from repro.theory.nguyen import (
    construction,
    convex_losses,
    critical_points,
    descent,
    features,
    losses,
    predictions,
    published,
    skip_points,
)
from repro.theory.nguyen.skip_points import Point
from repro.theory.oyedotun import backpropagation
from repro.training.losses import LOSSES

SEEDS = st.integers(0, 2**31)


def scores_and_labels(seed: int, samples: int = 6, classes: int = 4, scale: float = 3.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scores = scale * torch.randn(samples, classes, generator=generator, dtype=torch.float64)
    return scores, torch.randint(classes, (samples,), generator=generator)


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
def test_losses_are_those_of_training(seed: int) -> None:
    scores, labels = scores_and_labels(seed)
    assert losses.cross_entropy(scores, labels).item() == pytest.approx(F.cross_entropy(scores, labels).item())
    assert losses.hinge(scores, labels).item() == pytest.approx(LOSSES["hinge"](scores, labels).item())
    assert losses.square(scores, labels).item() == pytest.approx(len(labels) * LOSSES["square"](scores, labels).item())
    assert losses.errors(scores, labels) == int((scores.argmax(1) != labels).sum())


def test_a_tiny_cross_entropy_is_not_zero() -> None:
    labels = torch.tensor([1, 0])
    scores = 600 * losses.one_hot(labels, 10)
    assert losses.cross_entropy(scores, labels).item() == pytest.approx(9 * math.exp(-600), rel=1e-10)
    assert losses.cross_entropy(-scores, labels).item() == pytest.approx(600 + math.log(9))


@settings(max_examples=25)
@given(SEEDS)
def test_slope_and_curvature_along_the_targets_agree_with_differences(seed: int) -> None:
    scores, labels = scores_and_labels(seed)
    targets, step = losses.one_hot(labels, 4), 1e-3
    there, here, back = (losses.cross_entropy(scores + s * targets, labels).item() for s in (step, 0.0, -step))
    assert losses.slope_along_targets(scores, labels).item() == pytest.approx((there - back) / (2 * step), rel=1e-4)
    assert losses.curvature_along_targets(scores, labels).item() == pytest.approx(
        (there - 2 * here + back) / step**2, rel=1e-3, abs=1e-7
    )


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


@pytest.mark.slow
def test_equal_features_have_the_entropy_of_the_classes_as_their_floor() -> None:
    at = skip_points.equal_features(0, 0.0)
    assert descent.rank(at) == 1
    floor = descent.entropy_of_classes(at)
    bias = (torch.bincount(at.labels, minlength=10).double() / len(at.labels)).clamp(min=1e-300).log()
    assert losses.cross_entropy(bias.expand(len(at.labels), -1).contiguous(), at.labels).item() == pytest.approx(floor)
    assert descent.rank(skip_points.equal_features(0, 1e-4)) == len(at.labels)


def test_the_square_loss_falls_as_a_parabola() -> None:
    found = convex_losses.to_minimiser(point(1), losses.square)
    np.testing.assert_allclose(found.loss, found.loss[0] * (1 - found.at) ** 2, atol=1e-9 * found.loss[0])


def test_cross_entropy_is_above_zero_at_any_margin() -> None:
    assert convex_losses.cross_entropy_of_margin(1000.0) > 0
    assert float(convex_losses.cross_entropy_of_margin(10.0)) == pytest.approx(math.log1p(9 * math.exp(-10)))


def test_the_printed_hessian_lacks_the_mean() -> None:
    at = point(3, neurons=5)
    exact, printed = critical_points.hessian_block(at, 2), critical_points.hessian_as_printed(at, 2)
    torch.testing.assert_close(printed / len(at.labels), exact)


@settings(max_examples=25)
@given(SEEDS, st.integers(1, 8))
def test_below_the_threshold_nothing_is_wrong(seed: int, samples: int) -> None:
    scores, labels = scores_and_labels(seed, samples)
    scores = scores + 6 * losses.one_hot(labels, 4)
    if losses.cross_entropy(scores, labels) < predictions.threshold(samples):
        assert losses.errors(scores, labels) == 0


def test_the_threshold_cannot_be_raised() -> None:
    scores, labels = predictions.one_tie(20, 40.0)
    assert losses.cross_entropy(scores, labels).item() == pytest.approx(predictions.threshold(20), rel=1e-12)
    assert losses.errors(scores, labels) == 1


@settings(max_examples=25)
@given(SEEDS)
def test_a_shared_bias_leaves_rank_one(seed: int) -> None:
    shared = features.constant_images(shared_bias=True)(torch.Generator().manual_seed(seed))
    own = features.constant_images(shared_bias=False)(torch.Generator().manual_seed(seed))
    assert int(conditioning([shared]).rank[0]) == 1
    assert int(conditioning([features.scaled(own)]).rank[0]) == 2


@pytest.mark.parametrize("layers", [[1, 1, 1, 1], [3, 3, 3, 3], [1, 1, 2, 2], [2, 1, 2, 1]])
def test_the_construction_exceeds_the_bound(layers: list[int]) -> None:
    values = [0.9, 0.2, -0.3, -0.8]
    with mpmath.workdps(400):
        made = construction.construct(values, layers, beta=0.5)
        assert made.determinant >= made.bound
        limit = construction.epsilon(4, mpmath.mpf(0.5))
        assert all(made.psi[i, j] <= limit * (1 + mpmath.mpf(10) ** -50) for j in range(4) for i in range(j + 1, 4))
        assert all(made.psi[j, j] == construction.sigmoid(mpmath.mpf(0.5)) for j in range(4))


def test_float64_loses_what_the_construction_tells_apart() -> None:
    values = [0.9, 0.2, -0.3, -0.8]
    with mpmath.workdps(2000):
        made = construction.construct(values, [1, 1, 2, 2])
        gaps = construction.float64_gaps(values, [*made.alphas, mpmath.mpf(1)])
    assert gaps[0] == pytest.approx(0.5)
    assert gaps[-1] == 0
    with mpmath.workdps(15), pytest.raises(ArithmeticError, match="layer 3"):
        construction.construct(values, [2, 2, 1, 3])


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


def test_published_tables_are_consistent() -> None:
    for name, values in published.TABLE_4.items():
        assert len(values) == len(published.TABLE_5[name]) == 4
    assert len(published.decreases("SGD")) == len(published.decreases("rand")) == 6
    assert max(published.decreases("SGD")) == pytest.approx(8.06)
    assert max(published.decreases("rand")) == pytest.approx(9.16)
    assert published.gains()["CNN13 softplus MNIST"] == pytest.approx(-0.06)
