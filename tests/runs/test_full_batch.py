"""A batch size of ``full`` is the number of training images: gradient descent, one step an epoch."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from repro.config import Config, from_mapping
from repro.data import create_data
from repro.networks import create_network
from repro.records import metrics
from repro.runs import build as module
from repro.runs.start import resolve, start
from repro.training.random_features.classifier import update_batchnorm_statistics


def small(tmp_path: Path, batch_size: object = "full", **model: object) -> Config:
    return from_mapping(
        {
            "model": {"network": "resnet8", "width": 4, **model},
            "data": {
                "name": "MNIST5k",
                "batch_size": batch_size,
                "train_size": 90,
                "test_size": 100,
                "evaluation_batch_size": 1000,
            },
            "training": {"warmup_steps": 0, "learning_rate": 0.05},
            "trainer": {"max_epochs": 3, "progress": "none", "accelerator": "cpu"},
            "measure": {"measurements": []},
            "log": {"every_n_steps": 1},
            "runs": str(tmp_path),
        }
    )


@pytest.mark.parametrize("train", ["all", "output"])
def test_a_step_is_a_step_on_all_images(tmp_path: Path, train: str) -> None:
    run = start(small(tmp_path, train=train)).run
    table = metrics(run)
    losses = table[table["metric"] == "step/cross_entropy"]["value"].tolist()
    data = create_data("MNIST5k", train_size=90, batch_size=90)
    data.setup()
    batches = data.batches("train")
    images, labels = batches.normalise(batches.images), batches.labels
    module.seed_everything(0, verbose=False)
    network = create_network("resnet8", width=4, in_channels=1, image_size=28).to(memory_format=torch.channels_last)
    if train == "output":
        update_batchnorm_statistics(network, batches)
        network.requires_grad_(False).eval()
        network.head.requires_grad_(True)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(trained, lr=0.05, momentum=0.9, weight_decay=1e-4)
    expected = []
    for rate in (0.05, 0.05, 0.005):
        optimiser.param_groups[0]["lr"] = rate
        loss = F.cross_entropy(network(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        expected.append(loss.item())
    assert losses == pytest.approx(expected, rel=1e-4)


def test_it_is_the_run_whose_batches_are_as_large_as_the_training_set(tmp_path: Path) -> None:
    full, same, part = (small(tmp_path, size) for size in ("full", 90, 45))
    assert resolve(full).directory.path == resolve(same).directory.path != resolve(part).directory.path
    # Named after what differs from the base, which nothing does here.
    assert resolve(full, full).directory.name.startswith("resnet8-seed0-")
    rest = dataclasses.replace(full.data, train_size=None, validation_size=400)
    assert module.build(resolve(dataclasses.replace(full, data=rest)).config).data.batch_size == 3600
