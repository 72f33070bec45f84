"""What every family of `NETWORKS` must do; a new one is tested by being listed."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from repro.errors import UserError
from repro.networks import ACTIVATIONS, NETWORKS, check, create_network, weight_layers
from repro.networks.options import UNIVERSAL, Options, choices

EXAMPLES = [family.example(name) for name, family in NETWORKS.items()]
DATA = {"num_classes": 7, "in_channels": 3, "image_size": 32}


@pytest.mark.parametrize("name", EXAMPLES)
def test_logits_have_a_row_per_image_and_every_parameter_gets_a_finite_gradient(name):
    check(name, **DATA)
    network = create_network(name, **DATA)
    logits = network(torch.randn(4, 3, 32, 32))
    assert logits.shape == (4, 7)
    F.cross_entropy(logits, torch.tensor([0, 1, 2, 6])).backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name


@pytest.mark.parametrize("name", EXAMPLES)
def test_weight_layers_are_numbered_from_one_and_end_in_the_head(name):
    layers = weight_layers(create_network(name, **DATA), torch.randn(2, 3, 32, 32))
    assert [layer.index for layer in layers] == list(range(1, len(layers) + 1))
    assert layers[-1].module.weight.shape[0] == 7
    assert len({layer.name for layer in layers}) == len(layers)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_global_generator_alone_decides_the_weights(name):
    torch.manual_seed(3)
    first = create_network(name, **DATA).state_dict()
    torch.manual_seed(3)
    again = create_network(name, **DATA).state_dict()
    other = create_network(name, **DATA).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize(("name", "family"), NETWORKS.items())
def test_a_family_takes_options_that_exist_and_reads_them_beside_those_of_the_data(name, family):
    assert set(family.takes) <= set(Options.__dataclass_fields__) - UNIVERSAL


def test_every_activation_can_be_chosen() -> None:
    assert choices("activation") == tuple(ACTIVATIONS)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet8", {"width": 10**6}),
        ("resnet8", {"width": 10**25}),
        ("mlp", {"hidden": (10**7, 10**6)}),
        ("mlp", {"hidden": (10**25,)}),
    ],
)
def test_a_network_that_no_machine_holds_is_refused_before_anything_is_taken(name: str, options: dict) -> None:
    with pytest.raises(UserError, match=f"the weights of this {name} alone take .* of memory"):
        create_network(name, **options)


def test_looking_at_the_memory_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = []
    for usual in (10**9, 0):
        monkeypatch.setattr("repro.networks.create._USUAL", usual)
        torch.manual_seed(0)
        networks.append(create_network("mlp", hidden=(9,)))
    assert all(map(torch.equal, networks[0].parameters(), networks[1].parameters()))
