"""How gradients grow from layer to layer before training, against the mean-field theory of batch normalisation."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from repro.data.sources import mnist5k
from repro.networks import create_network

FINDINGS = Path(__file__).parents[2] / "FINDINGS.md"
BATCH = {"normalization": "batch"}
NONE = {"normalization": "none"}
RELU = math.sqrt(math.pi / (math.pi - 1))
"""Batch normalisation divides by the deviation of a rectified normal number, whose variance is (π − 1) / 2π; ReLU lets
half of the gradient's energy through (Yang et al. 2019)."""

ROWS: dict[str, tuple[str, dict[str, Any], tuple[float, float]]] = {
    "PlainNet, ReLU, batch normalisation": ("plainnet110", BATCH, (RELU - 0.02, RELU + 0.02)),
    "PlainNet, tanh, batch normalisation": ("plainnet110", {**BATCH, "activation": "tanh"}, (1.05, 1.15)),
    "PlainNet, linear, batch normalisation": ("plainnet110", {**BATCH, "activation": "identity"}, (0.97, 1.03)),
    "PlainNet, tanh, no normalisation": ("plainnet110", {**NONE, "activation": "tanh"}, (1.0, 1.08)),
    "PlainNet, ReLU, no normalisation": ("plainnet110", NONE, (1.0, 1.15)),
    "ResNet, ReLU, batch normalisation": ("resnet110", BATCH, (1.0, 1.08)),
}


def growth(network: str, options: dict[str, Any], images: Tensor, labels: Tensor) -> float:
    """The factor per layer, towards the input, by which the gradient grows beside its weights: layers 2 to 36."""
    torch.manual_seed(0)
    net = create_network(network, in_channels=1, image_size=28, width=8, **options)
    F.cross_entropy(net(images), labels).backward()
    kernels = [weight for weight in net.parameters() if weight.ndim == 4][1:36]
    relative = [float(weight.grad.norm() / weight.detach().norm()) for weight in kernels if weight.grad is not None]
    return math.exp(-np.polyfit(range(len(relative)), np.log(relative), 1)[0])


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    arrays = mnist5k.load()
    images = torch.from_numpy(arrays.train_images[:32]).float() / 255
    return images.reshape(32, 1, 28, 28) - images.mean(), torch.from_numpy(arrays.train_labels[:32]).long()


@pytest.mark.parametrize("name", ROWS)
def test_gradients_grow_as_the_theory_says_and_as_findings_tells(name: str, digits: tuple[Tensor, Tensor]) -> None:
    network, options, (low, high) = ROWS[name]
    found = growth(network, options, *digits)
    assert low <= found <= high
    row = re.search(rf"^\| {name} \|.* ([\d.]+) \|$", FINDINGS.read_text(encoding="utf-8"), re.MULTILINE)
    assert row is not None
    assert found == pytest.approx(float(row[1]), abs=0.015)
