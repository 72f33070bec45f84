from __future__ import annotations

import math
import subprocess
import sys
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
import tensorly
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.errors import UserError
from repro.measurements import MEASUREMENTS, table, take
from repro.measurements.run import measure
from repro.networks import create_network, weight_layers


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def images(samples: int = 24, size: int = 12, channels: int = 3) -> Tensor:
    return torch.randn(samples, channels, size, size, generator=torch.Generator().manual_seed(1))


def singular_values(tensor: Tensor, axis: int) -> np.ndarray:
    unfolded = tensorly.unfold(tensor.detach().double().numpy(), axis)
    return np.linalg.svd(unfolded, compute_uv=False)


def found(network: nn.Module, x: Tensor, name: str, **options: object) -> dict[tuple[int, str], dict[str, float]]:
    readings = take(network, x, torch.zeros(len(x), dtype=torch.long), measurements=[name], **options)
    return {(reading.layer, reading.mode): dict(reading.values) for reading in readings}


def test_weights_agree_with_lapack_mode_by_mode() -> None:
    network = create_network("resnet8", width=8)
    readings = found(network, images(), "weights")
    layers = weight_layers(network)
    assert len(layers) == 8
    assert len(readings) == 7 * 4 + 2
    for layer in layers:
        for axis, mode in enumerate(("output", "input", "height", "width")[: layer.module.weight.ndim]):
            values = singular_values(layer.module.weight, axis)
            reading = readings[layer.index, mode]
            assert reading["sigma_max"] == pytest.approx(values[0], rel=1e-6)
            assert reading["sigma_min"] == pytest.approx(values[-1], rel=1e-6)
            assert reading["condition_number"] == pytest.approx(values[0] / values[-1], rel=1e-6)
            assert reading["rank"] == len(values)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_representations_are_what_the_next_layer_reads(mode: str) -> None:
    network = create_network("resnet8", width=4)
    x = images()
    readings = found(network, x, "representations", mode=mode)
    seen: list[Tensor] = []
    for layer in weight_layers(network):
        layer.module.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].clone()))
    network.train(mode == "train")
    with torch.no_grad():
        network(x)
    assert {layer for layer, _ in readings} == set(range(8))
    assert torch.equal(seen[0], x)
    for number, tensor in enumerate(seen):
        modes = ("matrix", "channel", "height", "width")[: tensor.ndim]
        for axis, name in enumerate(modes):
            values = singular_values(tensor, axis)
            assert readings[number, name]["sigma_max"] == pytest.approx(values[0], rel=1e-6)
            if values[-1] > np.finfo(np.float32).eps * values[0]:
                assert readings[number, name]["condition_number"] == pytest.approx(values[0] / values[-1], rel=1e-5)
            else:
                assert readings[number, name]["condition_number"] == math.inf


def test_the_matrix_is_definition_2_with_a_sample_a_column() -> None:
    network = create_network("plainnet8", width=4)
    x = images()
    reading = found(network, x, "representations")[0, "matrix"]
    values = np.linalg.svd(x.flatten(1).T.double().numpy(), compute_uv=False)
    assert reading["condition_number"] == pytest.approx(values[0] / values[-1], rel=1e-6)


def test_a_dead_channel_is_singular_and_lowers_the_rank() -> None:
    network = create_network("plainnet8", width=4)
    layer = weight_layers(network)[0]
    norm = network.get_submodule("stem.norm1")
    with torch.no_grad():
        norm.weight[1] = 0
        norm.bias[1] = 0
    reading = found(network, images(), "representations")[layer.index, "channel"]
    assert reading["condition_number"] == math.inf
    assert reading["rank"] == 3


def test_non_finite_entries_are_nan_and_no_exception() -> None:
    network = create_network("plainnet8", width=4)
    with torch.no_grad():
        weight_layers(network)[2].module.weight[0, 0, 0, 0] = math.nan
    assert math.isnan(found(network, images(), "weights")[3, "output"]["condition_number"])
    assert math.isfinite(found(network, images(), "weights")[2, "output"]["condition_number"])
    assert math.isnan(found(network, images(), "representations")[3, "channel"]["condition_number"])


def test_dirac_weights_are_read_with_their_diagonal() -> None:
    network = create_network("diracnet8", width=4)
    layer = weight_layers(network)[1]
    values = singular_values(layer.module.effective_weight(), 0)
    assert found(network, images(), "weights")[2, "output"]["sigma_max"] == pytest.approx(values[0], rel=1e-6)


Trained = tuple[list[float], list[Tensor], list[object]]


def train(name: str | None = None, mode: Literal["eval", "train"] = "eval") -> Trained:
    """Four steps, before each of which this is measured: losses, tensors, and everything else that could change."""
    torch.manual_seed(3)
    network = nn.Sequential(create_network("resnet8", width=4), nn.Dropout(0.5))
    network[0].stages[0][0].path.norm1.eval()
    network[0].head.bias.requires_grad_(False)
    optimiser = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1, momentum=0.9)
    x, y = images(), torch.arange(24) % 10
    held_out = images(48)[24:]
    losses = []
    for _ in range(4):
        optimiser.zero_grad()
        loss = F.cross_entropy(network(x), y)
        loss.backward()
        if name is not None:
            take(network, x, y, measurements=[name], mode=mode, held_out=held_out, optimizer=optimiser)
        optimiser.step()
        losses.append(loss.item())
    state = [
        *network.parameters(),
        *network.buffers(),
        *(p.grad for p in network.parameters() if p.grad is not None),
    ]
    state += [value for each in optimiser.state.values() for value in each.values()]
    modes = [module.training for module in network.modules()]
    needed = [p.requires_grad for p in network.parameters()]
    return losses, state, [modes, needed, torch.rand(1).item()]


@pytest.fixture(scope="module")
def unmeasured() -> Trained:
    return train()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "curvature" else name for name in MEASUREMENTS]
)
@pytest.mark.parametrize("mode", ["eval", pytest.param("train", marks=pytest.mark.slow)])
def test_a_measurement_changes_nothing(name: str, mode: Literal["eval", "train"], unmeasured: Trained) -> None:
    losses, state, rest = unmeasured
    losses_with, state_with, rest_with = train(name, mode)
    assert losses == losses_with
    assert rest == rest_with
    assert all(torch.equal(a, b) for a, b in zip(state, state_with, strict=True))


@pytest.mark.slow
def test_no_generator_moves() -> None:
    # In a process of its own: the tests' type checker draws from Python's generator.
    code = """
import random, numpy, torch
from repro.measurements import MEASUREMENTS, take
from repro.networks import create_network
network, x = create_network("plainnet8", width=4), torch.randn(8, 3, 12, 12)
before = random.getstate(), str(numpy.random.get_state()), torch.get_rng_state().tolist()
labels = torch.zeros(8, dtype=torch.long)
take(network, x, labels, measurements=list(MEASUREMENTS), held_out=x + 1)
assert before == (random.getstate(), str(numpy.random.get_state()), torch.get_rng_state().tolist())
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_works_on_a_timm_network_and_a_users_own() -> None:
    class Mine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second, self.first = nn.Linear(20, 5), nn.Linear(432, 20)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x.flatten(1)).relu())

    readings = take(Mine(), images(), torch.zeros(24, dtype=torch.long))
    assert [(r.measurement, r.layer, r.name) for r in readings if r.mode == "output"] == [
        ("weights", 1, "first"),
        ("weights", 2, "second"),
    ]
    vit = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=10)
    names = {r.mode for r in take(vit, images(4, 32), torch.zeros(4, dtype=torch.long)) if r.layer == 5}
    assert {"output", "input", "matrix", "token", "channel"} == names


def test_readings_become_a_long_table_in_order() -> None:
    frame = table(take(create_network("plainnet8", width=4), images(), torch.zeros(24, dtype=torch.long)))
    assert list(frame.columns) == ["measurement", "layer", "name", "mode", "quantity", "value", "kind"]
    weights = frame[(frame["measurement"] == "weights") & (frame["mode"] == "output")]
    assert weights[weights["quantity"] == "rank"]["layer"].tolist() == list(range(1, 9))


def test_an_unknown_measurement_is_refused() -> None:
    with pytest.raises(UserError, match="unknown measurement 'weihgts'; nearest: weights"):
        take(create_network("plainnet8"), images(), torch.zeros(24, dtype=torch.long), measurements=["weihgts"])


def test_each_measurement_is_taken_once_however_they_are_named() -> None:
    """A generator had been used up by the check, and a name given twice had doubled every row."""
    network, images = nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), torch.randn(8, 3, 2, 2)
    usual = measure(network, images, measurements=["weights"])
    assert len(usual)
    for names in ((name for name in ["weights"]), ["weights", "weights"], {"weights": 1}):
        pd.testing.assert_frame_equal(measure(network, images, measurements=names), usual)


NEGATIVE = "the labels go from -3 to -1; allowed: 0 to 4"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": torch.zeros(0, 3, 2, 2)}, "have no samples"),
        ({"measurements": "weights"}, "measurements is 'weights'; allowed: a list of names"),
        ({"measurements": ["gradients"], "labels": torch.arange(8) % 3 - 3}, NEGATIVE),
        ({"measurements": ["gradients"], "labels": torch.tensor([-100] * 7 + [-1])}, "the labels go from -1 to -1"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, Any], message: str) -> None:
    usual: dict[str, Any] = {
        "network": nn.Sequential(nn.Flatten(), nn.Linear(12, 5)),
        "inputs": torch.randn(8, 3, 2, 2),
    }
    with pytest.raises(UserError, match=message):
        measure(**{**usual, "labels": torch.arange(8) % 5, **options})


MISTAKES = {
    "measure(None, x)": "network is NoneType; allowed: a torch.nn.Module",
    "measure('net.pt', x)": "network is str",
    "measure(nn.Linear, x)": "network is type",
    "measure(net, x, measurements=None)": "measurements is None; allowed: a list of names",
    "measure(net, x, measurements=[3])": "unknown measurement '3'",
    "measure(net, x, measurements=['distributions'], layers=1)": "layers is 1; allowed: whole numbers",
    "measure(net, x, measurements=['distributions'], layers=[1.5])": "layers is [1.5]",
    "measure(net, x, measurements=['distributions'], layers='1')": "layers is '1'",
    "measure(net, x, y, measurements=['updates'], optimizer=torch.optim.SGD)": "optimizer is <class",
}


@pytest.mark.slow
def test_what_is_of_another_kind_is_refused_in_one_line() -> None:
    """In a process of its own: here the tests' own checks of types would see it first."""
    head = "import torch; from torch import nn; from repro import measure; from repro.errors import UserError\n"
    head += "net, x, y = nn.Linear(4, 3), torch.randn(8, 4), torch.arange(8) % 3\n"
    tries = "".join(f"try: {call}\nexcept UserError as error: print(error)\n" for call in MISTAKES)
    said = subprocess.run([sys.executable, "-c", head + tries], capture_output=True, text=True, check=True).stdout
    for line, message in zip(said.splitlines(), MISTAKES.values(), strict=True):
        assert message in line


def test_labels_that_the_loss_ignores_are_no_mistake() -> None:
    labels = torch.tensor([0, -100, 4, -100, 1, 2, 3, 0])
    frame = measure(nn.Linear(6, 5), torch.randn(8, 6), labels, measurements=["gradients"])
    assert len(frame)
