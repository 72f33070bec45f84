from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from repro.networks import create_network, weight_layers
from repro.networks.families.block import Block, ZeroPaddedIdentity
from repro.networks.families.dirac import DiracConv2d


def test_layer_adds_the_scaled_input_to_the_convolution():
    layer = DiracConv2d(5, 5)
    nn.init.normal_(layer.diagonal)
    x = torch.randn(2, 5, 7, 7)
    expected = F.conv2d(x, layer.weight, padding=1) + layer.diagonal.view(1, -1, 1, 1) * x
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize(("out_channels", "stride"), [(4, 1), (9, 1), (8, 2)])
def test_without_w_it_is_the_zero_padded_identity_shortcut(out_channels, stride):
    layer = DiracConv2d(4, out_channels, stride=stride)
    nn.init.zeros_(layer.weight)
    x = torch.randn(2, 4, 8, 8)
    assert torch.equal(layer(x), ZeroPaddedIdentity(4, out_channels, stride=stride)(x))


def test_fewer_output_channels_keep_the_first_inputs():
    layer = DiracConv2d(6, 4)
    nn.init.zeros_(layer.weight)
    x = torch.randn(2, 6, 8, 8)
    assert torch.equal(layer(x), x[:, :4])


@pytest.mark.parametrize(("in_channels", "out_channels"), [(4, 4), (4, 6), (6, 4)])
def test_effective_weight_differs_from_w_by_the_diagonal(in_channels, out_channels):
    layer = DiracConv2d(in_channels, out_channels, bias=True)
    nn.init.normal_(layer.diagonal)
    difference = layer.effective_weight() - layer.weight
    expected = torch.zeros_like(difference)
    for channel in range(4):
        expected[channel, channel, 1, 1] = layer.diagonal[channel]
    torch.testing.assert_close(difference, expected)


def test_free_diagonal_trains_and_held_one_stays_one():
    for diagonal in ("free", "held"):
        network = create_network("diracnet8", diagonal=diagonal)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        F.cross_entropy(network(torch.randn(4, 3, 16, 16)), torch.tensor([0, 1, 2, 3])).backward()
        optimizer.step()
        layers = [layer.module for layer in weight_layers(network) if isinstance(layer.module, DiracConv2d)]
        assert len(layers) == 6
        for layer in layers:
            assert torch.equal(layer.diagonal, torch.ones_like(layer.diagonal)) == (diagonal == "held")


def test_network_is_plainnet_with_effective_weights():
    dirac, plain = create_network("diracnet20").eval(), create_network("plainnet20").eval()
    plain.load_state_dict(dirac.state_dict(), strict=False)
    for mine, other in zip(weight_layers(dirac), weight_layers(plain), strict=True):
        assert mine.name == other.name
        if isinstance(mine.module, DiracConv2d):
            other.module.weight.data.copy_(mine.module.effective_weight())
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(dirac(images), plain(images))


def test_as_published_w_is_normalised_and_scaled():
    layer = DiracConv2d(5, 7, diagonal="published")
    nn.init.normal_(layer.diagonal)
    x = torch.randn(2, 5, 8, 8)
    unit = layer.weight / layer.weight.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    expected = F.conv2d(x, 0.1 * unit, padding=1)
    expected[:, :5] += layer.diagonal.view(1, -1, 1, 1) * x
    torch.testing.assert_close(layer(x), expected)
    with torch.no_grad():
        layer.weight *= 3
    torch.testing.assert_close(layer(x), expected)
    assert {name for name, _ in layer.named_parameters()} == {"weight", "diagonal", "scale"}


def test_free_and_held_share_one_state_dict():
    free, held = create_network("diracnet8"), create_network("diracnet8", diagonal="held")
    held.load_state_dict(free.state_dict())


def test_with_w_zero_every_block_hands_its_input_on():
    network = create_network("diracnet14").eval()
    for layer in weight_layers(network):
        if isinstance(layer.module, DiracConv2d):
            nn.init.zeros_(layer.module.weight)
    block = [module for module in network.modules() if isinstance(module, Block)][1]
    h = torch.rand(2, 16, 8, 8)
    # Batch normalisation with fresh statistics divides by sqrt(1 + eps), twice.
    torch.testing.assert_close(block(h), h / (1 + 1e-5))
