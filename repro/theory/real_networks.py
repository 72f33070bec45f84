"""Real digits, and small deep networks trained on them for seconds, which the experiments share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from repro.data.registry import DATASETS
from repro.data.sources import mnist5k
from repro.networks import create_network

DEPTH, WIDTH, STEPS, BATCH = 56, 4, 80, 32
FAMILIES = {"plainnet": "PlainNet", "resnet": "ResNet", "resnext": "ResNeXt"}


@cache
def _digits() -> tuple[Float[Tensor, "all 1 28 28"], Int[Tensor, " all"]]:
    arrays = mnist5k.load()
    entry = DATASETS["MNIST5k"]
    images = torch.from_numpy(np.asarray(arrays.train_images)).float().view(-1, 1, 28, 28) / 255
    labels = torch.from_numpy(np.asarray(arrays.train_labels)).long()
    return (images - entry.mean[0]) / entry.deviation[0], labels


def digits(count: int) -> tuple[Float[Tensor, "count 1 28 28"], Int[Tensor, " count"]]:
    """The first so many of the 4,000 embedded training digits (a fair sample of the classes), standardised."""
    images, labels = _digits()
    return images[:count], labels[:count]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's generator from a seed; as it was afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class Trained(NamedTuple):
    """A network after its steps."""

    network: nn.Module
    accuracy: float
    """On the digits that it was trained on."""


@cache
def trained(family: str, seed: int) -> Trained:
    """A network of `FAMILIES`, 56 layers and base width 4, after 80 steps of SGD with momentum on 32 digits each."""
    images, labels = digits(BATCH * STEPS)
    with seeded(seed):
        network = create_network(f"{family}{DEPTH}", width=WIDTH, in_channels=1, image_size=28, num_classes=10)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
        for step, part in enumerate(torch.randperm(len(images)).split(BATCH)):
            for group in optimizer.param_groups:
                group["lr"] = 0.01 if step < STEPS // 4 else 0.03
            optimizer.zero_grad()
            F.cross_entropy(network(images[part]), labels[part]).backward()
            optimizer.step()
    network.eval()
    with torch.no_grad():
        accuracy = float((network(images[:500]).argmax(1) == labels[:500]).float().mean())
    return Trained(network, accuracy)
