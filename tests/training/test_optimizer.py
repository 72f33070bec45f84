"""The optimisers, against torch's own by hand and an orthogonalisation that is none of torch's."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.config import TrainingConfig
from repro.errors import UserError
from repro.measurements import take
from repro.networks import create_network
from repro.networks.skip import connect
from repro.training.muon import MuonWithAdamW, hidden_matrices
from repro.training.optimizer import create_optimizer

MUON = TrainingConfig(
    optimizer="muon", learning_rate=0.01, momentum=0.95, nesterov=True, weight_decay=0.1, warmup_steps=0
)


def small(name: str = "plainnet8", **options: object) -> nn.Module:
    torch.manual_seed(0)
    return create_network(name, in_channels=1, image_size=12, **{"width": 4, **options})


def step(network: nn.Module, optimizer: torch.optim.Optimizer, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    optimizer.zero_grad()
    images, labels = torch.randn(16, 1, 12, 12, generator=generator), torch.arange(16) % 10
    F.cross_entropy(network(images), labels).backward()
    optimizer.step()


def orthogonalised(matrix: np.ndarray) -> np.ndarray:
    """Five steps of the quintic iteration on the singular values alone, in float64."""
    left, values, right = np.linalg.svd(matrix / np.linalg.norm(matrix), full_matrices=False)
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return np.asarray(left * values @ right)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_muon_orthogonalises_kernels_as_matrices_of_output_by_rest(memory: torch.memory_format) -> None:
    network = small().to(memory_format=memory)
    optimizer = create_optimizer(network, MUON)
    kernels = hidden_matrices(network)
    momenta = [np.zeros((len(kernel), kernel[0].numel())) for kernel in kernels]
    for seed in range(2):
        before = [kernel.detach().clone() for kernel in kernels]
        step(network, optimizer, seed)
        for kernel, old, momentum in zip(kernels, before, momenta, strict=True):
            assert isinstance(kernel.grad, Tensor)
            gradient = kernel.grad.flatten(1).double().numpy()
            momentum += 0.05 * (gradient - momentum)
            ahead = gradient + 0.95 * (momentum - gradient)
            scale = 0.2 * math.sqrt(max(ahead.shape))
            expected = 0.999 * old.flatten(1).double().numpy() - 0.01 * scale * orthogonalised(ahead)
            change = np.linalg.norm(expected - old.flatten(1).double().numpy())
            assert np.linalg.norm(kernel.detach().flatten(1).double().numpy() - expected) < 0.03 * change
            buffer = optimizer.state[kernel]["momentum_buffer"]
            assert (buffer.shape, buffer.stride()) == (kernel.shape, kernel.stride())
            np.testing.assert_allclose(buffer.flatten(1).double().numpy(), momentum, rtol=1e-4, atol=1e-8)


def test_of_matrices_it_is_torchs_two_optimisers_bit_for_bit() -> None:
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Flatten(), nn.Linear(144, 9), nn.ReLU(), nn.Linear(9, 12), nn.ReLU(), nn.Linear(12, 10))
    theirs = copy.deepcopy(ours)
    optimizer = create_optimizer(ours, MUON)
    parameters = list(theirs.parameters())
    matrix, rest = parameters[2], [*parameters[:2], *parameters[3:]]
    muon = torch.optim.Muon(
        [matrix], lr=0.01, weight_decay=0.1, momentum=0.95, nesterov=True, adjust_lr_fn="match_rms_adamw"
    )
    adamw = torch.optim.AdamW(rest, lr=0.01, weight_decay=0.1)
    for seed in range(3):
        step(ours, optimizer, seed)
        muon.zero_grad()
        step(theirs, adamw, seed)
        muon.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_adamw_is_torchs() -> None:
    ours, theirs = small(), small()
    optimizer = create_optimizer(ours, TrainingConfig(optimizer="adamw", learning_rate=0.01, warmup_steps=0))
    reference = torch.optim.AdamW(theirs.parameters(), lr=0.01, betas=(0.9, 0.999), weight_decay=1e-4)
    for seed in range(3):
        step(ours, optimizer, seed)
        step(theirs, reference, seed)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_a_loaded_state_goes_on_bit_for_bit(optimizer: str) -> None:
    config = TrainingConfig(optimizer=optimizer, learning_rate=0.01, warmup_steps=0)  # type: ignore[arg-type]
    network = small().to(memory_format=torch.channels_last)
    first = create_optimizer(network, config)
    step(network, first)
    twin = copy.deepcopy(network)
    second = create_optimizer(twin, config)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for seed in (1, 2):
        step(network, first, seed)
        step(twin, second, seed)
    for mine, other in zip(network.parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_first_and_last_layers_norms_and_biases_are_adamws() -> None:
    network = small("resnet8", shortcut="projection")
    optimizer = create_optimizer(network, MUON)
    assert isinstance(optimizer, MuonWithAdamW)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    muons, adamws = ([names[id(p)] for p in group["params"]] for group in optimizer.param_groups)
    kernels = [name for name, parameter in network.named_parameters() if parameter.ndim == 4]
    assert muons == kernels[1:]
    assert sorted(muons + adamws) == sorted(names.values())


def test_skips_to_the_output_are_no_hidden_matrices() -> None:
    network = connect(small(), 20, 0, image=torch.zeros(1, 1, 12, 12), num_classes=10)
    assert len(hidden_matrices(network)) == len(hidden_matrices(small()))
    assert all(parameter is not network.skip.weight for parameter in hidden_matrices(network))


@pytest.mark.parametrize("make", [lambda: create_network("mlp", hidden=[20]), lambda: nn.Linear(3, 2)])
def test_a_network_without_hidden_matrices_is_refused(make: Callable[[], nn.Module]) -> None:
    with pytest.raises(UserError, match="muon is for the matrices between .* take sgd or adamw"):
        create_optimizer(make(), MUON)


@pytest.mark.parametrize(("width", "depth"), [(4, "plainnet8"), (8, "plainnet8"), (8, "resnet14"), (16, "plainnet8")])
def test_muons_updates_have_nearly_equal_singular_values(width: int, depth: str) -> None:
    """Where the gradient's own are not too small: five steps take what is over 0.002 of the norm to 0.68 ... 1.20."""
    network = small(depth, width=width)
    config = TrainingConfig(optimizer="muon", learning_rate=0.01, momentum=0.0, weight_decay=0.0, warmup_steps=0)
    optimizer = create_optimizer(network, config)
    images, labels = torch.randn(64, 1, 12, 12, generator=torch.Generator().manual_seed(3)), torch.arange(64) % 10
    readings = take(network, images, labels, optimizer=optimizer, measurements=["gradients", "updates"], mode="train")
    kappa = {(r.measurement, r.layer): r.values["condition_number"] for r in readings if r.mode == "output"}
    last = max(layer for _, layer in kappa)
    lifted = [layer for layer in range(2, last) if kappa["gradients", layer] < 50]
    assert len(lifted) >= (last - 2) / 2
    for layer in lifted:
        assert 1 <= kappa["updates", layer] < 1.9 < kappa["gradients", layer]
