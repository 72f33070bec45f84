from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from repro.errors import UserError
from repro.networks import create_network, weight_layers
from repro.networks.preserve_state import preserve_state

IMAGES = torch.randn(2, 3, 64, 64)


class Stranger(nn.Module):
    """Hides that a network lists its own layers."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images):
        return self.inner(images)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plainnet20", {}),
        ("resnet20", {"shortcut": "projection"}),
        ("resnet20", {"block": "bottleneck", "shortcut": "projection"}),
        ("resnext20", {}),
        ("resnext14", {"block": "basic", "groups": 2}),
        ("diracnet14", {}),
        ("resnet18", {"form": "imagenet", "width": 8}),
        ("resnext50", {"form": "imagenet", "width": 16}),
    ],
)
def test_our_list_is_the_order_in_which_layers_are_called(name, options):
    network = create_network(name, **options)
    listed = [f"inner.{layer.name}" for layer in weight_layers(network)]
    traced = [layer.name for layer in weight_layers(Stranger(network), IMAGES)]
    assert listed == traced


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("timm/resnet18", 18),  # 17 convolutions in the main path and the head; three projections left out
        (
            "timm/resnetv2_50",
            50,
        ),  # also where the projection is called before the main path; the head is a conv
        ("timm/resnet50d", 53 - 1),  # three convolutions in the stem instead of one: 50 + 2; its projections pool first
        ("timm/convnext_atto", 1 + 3 * (2 + 2 + 6 + 2) + 3 + 1),  # stem, blocks of 3, 3 main-path downsamplings, head
        ("timm/vit_tiny_patch16_224", 1 + 12 * 4 + 1),  # patches, 12 blocks of qkv, projection and two of the MLP, head
        ("timm/mixer_s32_224", 1 + 8 * 4 + 1),  # patches, 8 blocks of two MLPs of two, head
        ("timm/densenet121", 121),  # 1 + 2 (6 + 12 + 24 + 16) + 3 transitions + head
    ],
)
def test_counts_on_timm(name, expected):
    network = create_network(name, image_size=64)
    layers = weight_layers(network, IMAGES)
    assert len(layers) == expected
    modules = dict(network.named_modules())
    assert all(modules[layer.name] is layer.module for layer in layers)
    assert layers[-1].module.weight.shape[0] == 10


def test_projection_is_left_out_and_the_rest_is_in_forward_order():
    names = [layer.name for layer in weight_layers(create_network("timm/resnet18", image_size=64), IMAGES)]
    assert names[:4] == ["conv1", "layer1.0.conv1", "layer1.0.conv2", "layer1.1.conv1"]
    assert names[-1] == "fc"
    assert not any("downsample" in name for name in names)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_downsampling_layer_in_the_main_path_stays_in(wrapped):
    class MainPath(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            convolution = nn.Conv2d(3, 4, 2, 2)
            self.downsample = nn.Sequential(convolution) if wrapped else convolution
            self.head = nn.Linear(4, 2)

        def forward(self, images):
            return self.head(self.downsample(images).mean((2, 3)))

    names = [layer.name for layer in weight_layers(MainPath(), IMAGES)]
    assert names == ["downsample.0" if wrapped else "downsample", "head"]


class Twisted(nn.Module):
    """Calls layers against the order of registration, one of them twice, and disturbs whatever it can."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 2)
        self.shared = nn.Linear(4, 4)
        self.first = nn.Linear(3, 4)
        self.unused = nn.Linear(4, 4)
        self.dropout = nn.Dropout(0.5)
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("memory", torch.zeros(2))
        self.cache = None

    def forward(self, images):
        self.calls += 1
        self.memory = torch.randn(2) + random.random() + np.random.rand()  # noqa: NPY002
        if self.cache is None:
            self.cache = torch.ones(4) * 2
        h = self.first(images.mean((2, 3)))
        h = self.norm(self.shared(self.dropout(self.shared(h)))) * self.cache
        return self.last(h)


def test_a_layer_is_listed_at_each_of_its_calls_and_an_uncalled_one_never():
    layers = weight_layers(Twisted(), IMAGES)
    assert [layer.name for layer in layers] == ["first", "shared", "shared#2", "last"]
    assert [layer.first for layer in layers] == [1, 2, 2, 4]


def test_tracing_leaves_modes_buffers_and_hooks_as_they_were():
    network = Twisted().train()
    network.norm.eval()
    buffers = dict(network.named_buffers())
    values = {name: buffer.clone() for name, buffer in buffers.items()}
    modes = {name: module.training for name, module in network.named_modules()}
    weight_layers(network, IMAGES)
    assert {name: module.training for name, module in network.named_modules()} == modes
    for name, buffer in network.named_buffers():
        assert buffer is buffers[name]
        assert torch.equal(buffer, values[name])
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_tracing_leaves_the_random_generators_as_they_were():
    def draw() -> list[float]:
        return [torch.rand(()).item(), random.random(), np.random.rand()]  # noqa: NPY002

    def seed() -> None:
        torch.manual_seed(1)
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002

    network = Twisted()
    seed()
    expected = draw()
    seed()
    # The part of weight_layers that keeps them: under a type-checking import hook the rest draws numbers of its own.
    with preserve_state(network):
        draw()
    assert draw() == expected


def test_a_network_that_caches_in_its_forward_pass_can_still_be_trained():
    network = Twisted().train()
    weight_layers(network, IMAGES)
    network(IMAGES).sum().backward()
    assert network.first.weight.grad is not None


def test_modes_come_back_and_hooks_go_when_the_forward_pass_fails():
    network = Twisted().train()
    with pytest.raises(UserError, match=r"refuses the inputs \(float32 \(2, 5, 8, 8\)\)"):
        weight_layers(network, torch.randn(2, 5, 8, 8))
    assert network.training
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_images_are_asked_for():
    with pytest.raises(UserError, match="pass images"):
        weight_layers(Twisted())


def test_a_network_without_weight_layers_is_refused():
    with pytest.raises(UserError, match="no convolution"):
        weight_layers(nn.Flatten(), IMAGES)
