"""Assumption 3.1: a network that meets it, and each condition broken alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from repro.networks import create_network
from repro.networks.assumptions import unmet
from repro.networks.skip import SkipToOutput

IMAGES = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def conditions(name: str, neurons: int = 60, images: torch.Tensor = IMAGES, **options: object) -> list[str]:
    network = create_network(name, **options)
    return unmet(SkipToOutput(network, neurons, 0, image=images[:1], num_classes=10), images)


def test_fully_connected_sigmoid_and_softplus_networks_meet_it() -> None:
    assert conditions("mlp", hidden=[50, 30], activation="sigmoid") == []
    assert conditions("mlp", hidden=[50, 30], activation="softplus") == []


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("mlp", {"activation": "relu", "hidden": [90]}, "ReLU is not analytic"),
        ("mlp", {"activation": "tanh", "hidden": [90]}, "tanh does not go to 0 at minus infinity"),
        ("cnn13", {"activation": "sigmoid", "width": 4}, "the biases of a convolution are shared"),
        ("cnn13", {"activation": "softplus", "width": 4}, "share weights with those on its path"),
        ("vgg11", {"activation": "sigmoid", "width": 4}, "max-pooling is not analytic"),
        ("densenet121", {"activation": "sigmoid"}, "batch normalisation in training mode"),
    ],
)
def test_each_condition_is_named(name: str, options: dict[str, object], sentence: str) -> None:
    assert any(sentence in each for each in conditions(name, **options))


def test_a_layer_that_is_chosen_whole_blocks_the_path_of_softplus() -> None:
    assert conditions("mlp", 11, hidden=[5, 6], activation="softplus") == [
        "with softplus every layer below a chosen neuron needs a neuron that is not chosen"
    ]
    assert conditions("mlp", 11, hidden=[5, 6], activation="sigmoid") == []


def test_softplus_neurons_of_the_first_convolution_have_no_path_to_share() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Softplus(), nn.Flatten(), nn.Linear(1800, 10))
    model = SkipToOutput(network, 60, 0, image=IMAGES[:1], num_classes=10)
    assert not any("its path" in each for each in unmet(model, IMAGES))


def test_equal_patches_are_seen() -> None:
    images = IMAGES.clone()
    images[3, :, :3, :3] = images[1, :, :3, :3]  # what the first 3 x 3 kernel with padding sees at row and column 1
    assert any("equal patch" in each for each in conditions("cnn13", images=images, activation="sigmoid", width=4))
    assert not any("equal patch" in each for each in conditions("cnn13", activation="sigmoid", width=4))
    assert conditions("mlp", images=IMAGES[[0, 1, 1]], hidden=[90], activation="sigmoid") == [
        "two images have an equal patch under the first layer's kernel"
    ]
