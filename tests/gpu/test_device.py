"""What is not training: batches, memory formats, measurements."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from repro.config import TrainingConfig
from repro.data.loading.batches import DeviceBatches
from repro.measurements import take
from repro.networks import create_network
from repro.training.optimizer import create_optimizer

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("augmentation", ["none", "crop_flip"])
@pytest.mark.parametrize("residence", ["cuda", "cpu"])
def test_batches_are_the_cpus_bit_for_bit(augmentation: Any, residence: str) -> None:
    images = torch.randint(0, 256, (100, 3, 32, 32), dtype=torch.uint8)
    labels = torch.arange(100) % 10

    def made(place: str, device: str, deviation: float) -> list[tuple[torch.Tensor, torch.Tensor]]:
        options: Any = {"augmentation": augmentation, "batch_size": 32, "seed": 3}
        facts: Any = {"mean": (0.0,) * 3, "deviation": (deviation,) * 3}
        return list(DeviceBatches(images.to(place), labels.to(device), **options, **facts))

    # Divided by 255 times 1/255, pixels come as they are: nothing is rounded.
    for ours, theirs in zip(made(residence, "cuda", 1 / 255), made("cpu", "cpu", 1 / 255), strict=True):
        assert ours[0].is_cuda
        assert ours[0].is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(ours[0].cpu(), theirs[0])
        assert torch.equal(ours[1].cpu(), theirs[1])
    for ours, theirs in zip(made(residence, "cuda", 0.2), made("cpu", "cpu", 0.2), strict=True):
        torch.testing.assert_close(ours[0].cpu(), theirs[0], rtol=3e-7, atol=1e-7)


def test_channels_last_gives_what_the_ordinary_form_gives() -> None:
    torch.manual_seed(0)
    network = create_network("resnet20", in_channels=3, image_size=32).cuda()
    last = copy.deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.randn(32, 3, 32, 32, device="cuda")
    torch.testing.assert_close(
        last(images.to(memory_format=torch.channels_last)), network(images), rtol=1e-3, atol=1e-4
    )


def test_one_kernel_for_many_parameters_gives_what_torch_does_by_default() -> None:
    torch.manual_seed(0)
    networks = [create_network("resnet8", in_channels=3, image_size=32).cuda()]
    networks.append(copy.deepcopy(networks[0]))
    training = TrainingConfig(warmup_steps=0, learning_rate=0.1)
    ours = create_optimizer(networks[0], training)
    theirs = torch.optim.SGD(networks[1].parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    assert ours.param_groups[0]["fused"]
    for seed in range(5):
        generator = torch.Generator("cuda").manual_seed(seed)
        for mine, other in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator, device="cuda")
            other.grad = mine.grad.clone()
        ours.step()
        theirs.step()
    for mine, other in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-6)


def test_conditioning_is_the_cpus() -> None:
    torch.manual_seed(0)
    network = create_network("resnet20", width=8, in_channels=1, image_size=28)
    images, labels = torch.randn(64, 1, 28, 28), torch.randint(10, (64,))
    names = ["weights", "representations", "gradients"]
    on_cpu = take(network, images, labels, measurements=names)
    on_gpu = take(network.cuda(), images.cuda(), labels.cuda(), measurements=names)
    assert len(on_cpu) == len(on_gpu)
    for ours, theirs in zip(on_gpu, on_cpu, strict=True):
        assert (ours.measurement, ours.layer, ours.mode) == (theirs.measurement, theirs.layer, theirs.mode)
        tolerance = 1e-6 if ours.measurement == "weights" else 2e-2  # a float32 pass before the float64 values
        assert ours.values["sigma_max"] == pytest.approx(theirs.values["sigma_max"], rel=tolerance)
