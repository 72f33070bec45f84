"""Nguyen's losses against training's, finite differences and closed forms."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from repro.theory.nguyen import convex_losses, losses, predictions
from repro.training.losses import LOSSES

SEEDS = st.integers(0, 2**31)


def scores_and_labels(seed: int, samples: int = 6, classes: int = 4, scale: float = 3.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scores = scale * torch.randn(samples, classes, generator=generator, dtype=torch.float64)
    return scores, torch.randint(classes, (samples,), generator=generator)


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


def test_cross_entropy_is_above_zero_at_any_margin() -> None:
    assert convex_losses.cross_entropy_of_margin(1000.0) > 0
    assert float(convex_losses.cross_entropy_of_margin(10.0)) == pytest.approx(math.log1p(9 * math.exp(-10)))


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
