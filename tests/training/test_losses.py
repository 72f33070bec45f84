from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import hinge_loss, log_loss

from repro.training.losses import LOSSES


@given(st.integers(0, 2**31), st.integers(3, 12), st.integers(3, 7))
def test_losses_are_scikit_learns_and_the_papers(seed: int, batch: int, classes: int) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.normal(size=(batch, classes)) * 3
    labels = np.concatenate([np.arange(classes), generator.integers(classes, size=batch)])[:batch]
    every = list(range(classes))
    found = {name: loss(torch.from_numpy(scores), torch.from_numpy(labels)).item() for name, loss in LOSSES.items()}
    probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    assert found["cross_entropy"] == pytest.approx(log_loss(labels, probabilities, labels=every))
    assert found["hinge"] == pytest.approx(hinge_loss(labels, scores, labels=every))
    assert found["square"] == pytest.approx(0.5 * np.linalg.norm(scores - np.eye(classes)[labels]) ** 2 / batch)
