"""Gradients, updates and error gradients, against autograd and optimisers used by hand and LAPACK."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.errors import UserError
from repro.measurements import take
from repro.networks import create_network, weight_layers

LABELS = torch.arange(24) % 10


def images() -> Tensor:
    return torch.randn(24, 3, 12, 12, generator=torch.Generator().manual_seed(1))


def unfolded(tensor: Tensor, axis: int) -> np.ndarray:
    return np.moveaxis(tensor.detach().double().numpy(), axis, 0).reshape(tensor.shape[axis], -1)


def singular_values(tensor: Tensor, axis: int) -> np.ndarray:
    return np.linalg.svd(unfolded(tensor, axis), compute_uv=False)


def found(network: nn.Module, name: str, **options: object) -> dict[tuple[int, str], dict[str, float]]:
    readings = take(network, images(), LABELS, measurements=[name], **options)  # type: ignore[arg-type]
    return {(reading.layer, reading.mode): dict(reading.values) for reading in readings}


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return create_network("resnet8", width=4)


def test_gradients_are_those_of_a_training_step(network: nn.Module) -> None:
    readings = found(network, "gradients")
    twin = copy.deepcopy(network).train()
    F.cross_entropy(twin(images()), LABELS).backward()
    layers = weight_layers(twin)
    assert {layer for layer, _ in readings} == {layer.index for layer in layers}
    for layer in layers:
        gradient = layer.module.weight.grad
        assert isinstance(gradient, Tensor)
        for axis, mode in enumerate(("output", "input", "height", "width")[: gradient.ndim]):
            values = singular_values(gradient, axis)
            assert readings[layer.index, mode]["sigma_max"] == pytest.approx(values[0], rel=1e-6)
            assert readings[layer.index, mode]["sigma_min"] == pytest.approx(values[-1], rel=1e-4, abs=1e-7 * values[0])


def test_a_frozen_layer_has_no_gradient(network: nn.Module) -> None:
    layer = weight_layers(network)[2]
    layer.module.weight.requires_grad_(False)
    with pytest.warns(UserWarning, match="frozen"):
        readings = found(network, "gradients")
    assert 3 not in {number for number, _ in readings}
    assert len({number for number, _ in readings}) == 7
    network.requires_grad_(False)
    with pytest.warns(UserWarning, match="frozen"):
        assert not found(network, "gradients")


Maker = Callable[[nn.Module], torch.optim.Optimizer]
OPTIMISERS: dict[str, Maker] = {
    "sgd with momentum and penalty": lambda network: torch.optim.SGD(
        network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2
    ),
    "nesterov": lambda network: torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True),
    "adamw": lambda network: torch.optim.AdamW(network.parameters(), lr=1e-3),
    "two groups": lambda network: torch.optim.SGD(
        [{"params": [*network.parameters()][:3], "lr": 0.2}, {"params": [*network.parameters()][3:]}], lr=0.1
    ),
}


@pytest.mark.parametrize("name", list(OPTIMISERS))
def test_updates_are_the_optimisers_next_step(name: str, network: nn.Module) -> None:
    optimiser = OPTIMISERS[name](network)
    for _ in range(2):
        optimiser.zero_grad()
        F.cross_entropy(network.train()(images()), LABELS).backward()
        optimiser.step()
    readings = found(network, "updates", optimizer=optimiser)
    before = {layer.index: layer.module.weight.detach().clone() for layer in weight_layers(network)}
    optimiser.zero_grad()
    F.cross_entropy(network.train()(images()), LABELS).backward()
    optimiser.step()
    for layer in weight_layers(network):
        update = layer.module.weight.detach() - before[layer.index]
        values = singular_values(update, 0)
        # The step by hand rounds W, which is what the measurement avoids: that leaves 1e-3 of an update of 1e-3 W.
        assert readings[layer.index, "output"]["sigma_max"] == pytest.approx(values[0], rel=1e-3)
        assert readings[layer.index, "output"]["sigma_min"] == pytest.approx(values[-1], rel=0.05, abs=1e-6)


def test_a_singular_update_is_seen_through_the_rounding_of_the_weights() -> None:
    """The gradient of a linear layer on rank-2 input has rank 2; that of W(t) − W(t−1) in float32 has not."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(27, 10))
    basis = torch.randn(2, 27)
    x = (torch.randn(24, 2) @ basis).reshape(24, 3, 3, 3)
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3)
    readings = take(network, x, LABELS, measurements=["updates"], optimizer=optimiser)
    assert readings[0].values["rank"] == 2
    assert readings[0].values["condition_number"] == math.inf
    before = network[1].weight.detach().clone()
    F.cross_entropy(network(x), LABELS).backward()
    optimiser.step()
    values = singular_values(network[1].weight.detach() - before, 0)
    assert values[2] > 1e-6 * values[0]


def test_without_an_optimiser_updates_are_gradients(network: nn.Module) -> None:
    assert found(network, "updates") == found(network, "gradients")


def test_error_gradients_are_those_of_the_representations(network: nn.Module) -> None:
    readings = found(network, "errors")
    twin = copy.deepcopy(network).train()
    read: list[Tensor] = []

    def keep(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].requires_grad:
            inputs[0].retain_grad()
        read.append(inputs[0])

    for layer in weight_layers(twin):
        layer.module.register_forward_pre_hook(keep)
    F.cross_entropy(twin(images()), LABELS).backward()
    assert {number for number, _ in readings} == set(range(1, 8))  # the images have none
    for number, tensor in enumerate(read[1:], 1):
        assert tensor.grad is not None
        for axis, mode in enumerate(("matrix", "channel", "height", "width")[: tensor.ndim]):
            values = singular_values(tensor.grad, axis)
            assert readings[number, mode]["sigma_max"] == pytest.approx(values[0], rel=1e-5)


def test_remark_4_a_singular_representation_makes_the_next_gradient_singular(network: nn.Module) -> None:
    """Lemma 2: with a dead channel in h the gradient of the weights that read it is singular in the input mode."""
    norm = network.get_submodule("stem.norm1")
    with torch.no_grad():
        norm.weight[1] = 0
        norm.bias[1] = -1
    assert found(network, "representations", mode="train")[1, "channel"]["rank"] == 3
    readings = found(network, "gradients")
    assert readings[2, "input"]["condition_number"] == math.inf
    assert readings[2, "input"]["rank"] == 3
    assert math.isfinite(readings[4, "input"]["condition_number"])


@pytest.mark.parametrize("name", ["gradients", "updates", "errors"])
def test_what_needs_labels_says_so(name: str, network: nn.Module) -> None:
    with pytest.raises(UserError, match="need the classes"):
        take(network, images(), measurements=[name])
