from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro import figures
from repro.figures import RunRecords
from repro.measurements import Reading, table, take
from repro.networks import create_network


def operators(network: nn.Module, images: Tensor) -> dict[tuple[int, str], Reading]:
    return {(each.layer, each.mode): each for each in take(network, images, measurements=["operators"])}


def test_maps_are_those_of_the_images_that_a_layer_reads() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.Conv2d(4, 6, (3, 1), padding="same", groups=2, dilation=(2, 1)),
        nn.Flatten(),
        nn.Linear(6 * 4 * 5, 3),
    )
    found = operators(network, torch.randn(2, 2, 8, 10))
    assert set(found) == {(1, "circular"), (1, "padded"), (2, "circular"), (2, "padded"), (3, "circular")}
    for number, channels, image in ((0, 2, (8, 10)), (2, 4, (4, 5))):  # the matrix, by the network's own layer
        module = network[number]
        pixels = torch.eye(channels * math.prod(image)).view(-1, channels, *image)
        with torch.no_grad():
            columns = module(pixels) - module(torch.zeros_like(pixels))
        values = np.linalg.svd(columns.flatten(1).double().numpy(), compute_uv=False)
        reading = found[(number // 2 + 1, "padded")].values
        assert reading["sigma_max"] == pytest.approx(values[0], rel=1e-5)
        assert reading["condition_number"] == pytest.approx(values[0] / values[-1], rel=1e-4)
    wrapped = F.pad(torch.eye(160).view(-1, 2, 8, 10), (1, 1, 1, 1), mode="circular")
    matrix = F.conv2d(wrapped.double(), network[0].weight.detach().double(), stride=2).flatten(1)
    assert found[(1, "circular")].values["sigma_min"] == pytest.approx(
        float(torch.linalg.svdvals(matrix)[-1]), rel=1e-9
    )
    of_weight = torch.linalg.svdvals(network[-1].weight.detach().double())
    assert found[(3, "circular")].values["sigma_max"] == pytest.approx(float(of_weight[0]), rel=1e-9)


def test_a_transposed_convolution_is_the_transpose_of_one() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.ConvTranspose2d(3, 4, 4, stride=2, padding=1))
    found = operators(network, torch.randn(2, 3, 5, 6))
    turned = nn.Sequential(nn.Conv2d(4, 3, 4, stride=2, padding=1))
    turned[0].weight.data = network[0].weight.detach()
    wanted = operators(turned, torch.randn(2, 4, 10, 12))
    assert found[(1, "circular")].values == wanted[(1, "circular")].values


def test_kernels_stand_beside_maps() -> None:
    network = create_network("resnet8", width=4)
    images = torch.randn(4, 3, 8, 8)

    def drawn(*measurements: str) -> list[str]:
        frame = table(take(network, images, measurements=list(measurements)))
        frame.insert(0, "step", 0)
        frame.insert(1, "epoch", 0)
        runs = [RunRecords.of_readings("resnet8", frame)]
        if "operators" not in measurements:
            return figures.chosen(runs)
        titles = [axes.get_title(loc="left") for axes in figures.draw_one("operators", runs).axes]
        return [title for title in titles if title]

    assert "operators" not in drawn("weights")
    assert drawn("weights", "operators") == ["Weights", "Maps of images", "Maps with zero padding"]
    assert drawn("operators") == ["Maps of images", "Maps with zero padding"]


def test_what_the_module_continues_itself_is_no_image() -> None:
    torch.manual_seed(0)
    wrapped = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"))
    found = operators(wrapped, torch.randn(2, 2, 6, 7))
    assert set(found) == {(1, "circular")}
    pixels = torch.eye(84).view(84, 2, 6, 7)
    with torch.no_grad():
        columns = wrapped(pixels) - wrapped(torch.zeros_like(pixels))
    values = torch.linalg.svdvals(columns.flatten(1).double())
    assert found[(1, "circular")].values["condition_number"] == pytest.approx(float(values[0] / values[-1]), rel=1e-4)


def test_other_axes_and_weights_that_are_made_anew() -> None:
    torch.manual_seed(0)
    line = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv1d(3, 3, 3, padding=1)), nn.ReLU(), nn.Flatten())
    found = operators(line, torch.randn(2, 3, 9))
    weight = line[0].weight.detach().double()
    blocks = torch.fft.fft(F.pad(weight, (0, 6)))
    values = torch.linalg.svdvals(blocks.movedim(2, 0))
    assert found[(1, "circular")].values["sigma_max"] == pytest.approx(float(values.max()), rel=1e-9)
    assert found[(1, "circular")].values["sigma_min"] == pytest.approx(float(values.min()), rel=1e-9)
    assert found[(1, "circular")].values["rank"] == 27
