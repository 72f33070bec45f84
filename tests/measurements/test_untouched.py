"""Nothing of the user's is changed, in any dtype, and nothing is left out without a word."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from repro.errors import UserError
from repro.measurements import MEASUREMENTS, take
from repro.networks import create_network

WRAPS = [parametrizations.weight_norm, parametrizations.spectral_norm, parametrizations.orthogonal]
NAMES = [name for name in MEASUREMENTS if name not in ("diagonals", "features", "skips")]


def probe(dtype: torch.dtype, channels: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    images, others = torch.randn(2, 24, channels, 12, 12, generator=source, dtype=torch.float64).to(dtype)
    return images, others, torch.arange(24) % 10


class ChangesItsInput(nn.Module):
    """A network that normalises the images in place, and whose activations are in place."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3), nn.ReLU(inplace=True), nn.Flatten()
        )
        self.head = nn.Linear(4 * 8 * 8, 10)

    def forward(self, images: Tensor) -> Tensor:
        images.sub_(0.5).mul_(2)
        return self.head(self.body(images))


@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.float64, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", [pytest.param("resnet8", marks=pytest.mark.slow), "in place"])
@pytest.mark.parametrize("nesterov", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_images_weights_gradients_and_optimiser_are_left_alone(dtype: torch.dtype, kind: str, nesterov: bool) -> None:
    torch.manual_seed(0)
    network = (ChangesItsInput() if kind == "in place" else create_network("resnet8", width=4)).to(dtype)
    images, others, labels = probe(dtype)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=nesterov)
    F.cross_entropy(network(images.clone()), labels).backward()
    optimizer.step()
    mine = [images, others, labels, *network.state_dict().values(), *(p.grad for p in network.parameters())]
    mine += [state["momentum_buffer"] for state in optimizer.state.values()]
    before = [tensor.clone() for tensor in mine]
    together = take(network, images, labels, held_out=others, optimizer=optimizer, measurements=NAMES, layers=[1, -1])
    assert all(torch.equal(one, other) for one, other in zip(mine, before, strict=True))
    apart = [
        reading
        for name in NAMES
        for reading in take(
            network, images, labels, held_out=others, optimizer=optimizer, measurements=[name], layers=[1, -1]
        )
    ]
    assert [(each.measurement, each.layer, each.mode, dict(each.values)) for each in together] == [
        (each.measurement, each.layer, each.mode, dict(each.values)) for each in apart
    ], "no measurement changes what the next one sees"


def test_distances_of_a_float64_network_are_those_of_its_float32_twin() -> None:
    torch.manual_seed(0)
    network = create_network("resnet8", width=4)
    images, _, _ = probe(torch.float32)
    single = take(network, images, measurements=["distance"])
    double = take(copy.deepcopy(network).double(), images.double(), measurements=["distance"])
    for one, other in zip(single, double, strict=True):
        assert dict(other.values) == pytest.approx(dict(one.values), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("wrap", WRAPS)
def test_the_gradient_of_a_parametrised_weight_is_that_of_the_weight_that_acts(wrap) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), wrap(nn.Linear(432, 20)), nn.Tanh(), nn.Linear(20, 10))
    images, _, labels = probe(torch.float32)
    readings = take(network, images, labels, measurements=["gradients"])
    assert [each.layer for each in readings] == [1, 1, 2, 2]
    twin = copy.deepcopy(network).train()  # its power iteration takes the same step
    acted: list[Tensor] = []

    def keep(module: nn.Module, _inputs: object, output: Tensor) -> None:
        acted.append(output)

    x = images.flatten(1)
    F.cross_entropy(hooked(twin, images, keep), labels).backward()
    gradient = acted[0].grad.mT @ x  # dL/dW of y = x Wᵀ + b
    expected = torch.linalg.svdvals(gradient.double())
    (reading, _) = [dict(each.values) for each in readings if each.layer == 1]
    assert reading["sigma_max"] == pytest.approx(expected[0].item(), rel=1e-4)


def hooked(network: nn.Module, images: Tensor, keep) -> Tensor:
    def note(module: nn.Module, inputs: object, output: Tensor) -> None:
        output.retain_grad()
        keep(module, inputs, output)

    network[1].register_forward_hook(note)
    return network(images)


def test_layers_that_have_no_update_are_named() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(432, 20), nn.Tanh(), nn.Linear(20, 10))
    images, _, labels = probe(torch.float32)
    part = torch.optim.SGD(network[1].parameters(), lr=0.1)
    with pytest.warns(UserWarning, match="does not have the weights of 3"):
        take(network, images, labels, optimizer=part, measurements=["updates"])


def test_another_networks_optimiser_is_refused() -> None:
    network = create_network("resnet8", width=4)
    other = torch.optim.SGD(create_network("resnet8", width=4).parameters(), lr=0.1)
    images, _, labels = probe(torch.float32)
    with pytest.raises(UserError, match="no parameter of this network"):
        take(network, images, labels, optimizer=other, measurements=["updates"])


@pytest.mark.parametrize("mode", ["x", "", "Eval"])
def test_a_mode_that_there_is_not_is_refused(mode) -> None:
    images, _, _ = probe(torch.float32)
    with pytest.raises(UserError, match="allowed: eval"):
        take(create_network("resnet8", width=4), images, mode=mode)


def test_a_compiled_network_gives_what_it_gives_uncompiled() -> None:
    """Its hooks would not be called in compiled code; nothing is compiled to measure it."""
    torch.manual_seed(0)
    layers = nn.Linear(432, 20), nn.Tanh(), nn.Linear(20, 15), nn.Tanh(), nn.Linear(15, 10)
    network = nn.Sequential(nn.Flatten(), *layers)
    images, _, labels = probe(torch.float32)
    plain = take(network, images, labels, measurements=["errors", "representations"])
    for compiled in (torch.compile(network), nn.Sequential(*network[:2], torch.compile(network[2:]))):
        found = take(compiled, images, labels, measurements=["errors", "representations"])
        assert [dict(each.values) for each in found] == [dict(each.values) for each in plain]


def test_what_no_gradient_reaches_is_named() -> None:
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.three = nn.Linear(432, 20), nn.Linear(20, 20), nn.Linear(20, 10)

        def forward(self, images: Tensor) -> Tensor:
            hidden = self.one(images.flatten(1))
            return self.three(self.two(hidden).detach())

    images, _, labels = probe(torch.float32)
    with pytest.warns(UserWarning, match="not measured: no gradient reaches the weights of one, two"):
        take(Cut(), images, labels, measurements=["gradients"])


def test_an_optimiser_that_wants_a_closure_is_refused_in_words() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 10))
    images, _, labels = probe(torch.float32)
    optimizer = torch.optim.LBFGS(network.parameters())
    with pytest.raises(UserError, match="updates cannot be taken of LBFGS"):
        take(network, images, labels, optimizer=optimizer, measurements=["updates"])
