"""What the paper says of PlainNet and ResNet, seen within a few steps on real digits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from repro.data import create_data
from repro.measurements import MEASUREMENTS, kappa, measure
from repro.networks import create_network

STEPS = 3


@pytest.mark.slow
def test_plainnet_110_explodes_and_becomes_singular_within_a_few_steps_and_resnet_110_does_not() -> None:
    """Oyedotun Fig. 5 and 9: learning rate 0.1, momentum 0.9; depth 110, base width 8, 32 digits a batch.

    Three steps: without a warm-up ResNet-110 loses channels too from about the fifth on (FINDINGS.md).
    """
    data = create_data("MNIST5k", batch_size=32, seed=0)
    data.setup()
    probe, _ = data.probe(128)
    largest, singular = {}, {}
    for name in ("plainnet110", "resnet110"):
        torch.manual_seed(0)
        network = create_network(name, width=8, in_channels=1, image_size=28).train()
        optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
        for step in range(STEPS):
            batches = data.batches("train", training=True)
            batches.position = lambda step=step: step  # type: ignore[misc]
            images, labels = next(iter(batches))
            optimiser.zero_grad()
            F.cross_entropy(network(images), labels).backward()
            optimiser.step()
        frame = measure(network, probe, mode="train").assign(step=STEPS, epoch=0)
        largest[name] = kappa.first_layer(frame)["sigma_max"].item()
        values = MEASUREMENTS["representations"].kappas[0].table(frame)
        singular[name] = int(np.isinf(values[values["layer"] >= 1]["kappa"]).sum())
    assert largest["plainnet110"] > 1e4
    assert largest["resnet110"] < 1e2
    assert singular["plainnet110"] > 10
    assert singular["resnet110"] == 0
