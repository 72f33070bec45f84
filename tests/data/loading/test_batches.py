from __future__ import annotations

import itertools

import pytest
import torch
from scipy import stats
from torchvision.transforms.v2 import functional as reference

from repro.data.loading.batches import DeviceBatches, epoch_crops, epoch_order
from repro.data.loading.gather import PADDING, Crops, Padding


def make(samples: int = 103, **options: object) -> DeviceBatches:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (samples, 3, 8, 8), generator=generator, dtype=torch.uint8)
    options = {"batch_size": 16, "seed": 5, "mean": (0.5, 0.4, 0.3), "deviation": (0.2, 0.25, 0.3), **options}
    return DeviceBatches(images, torch.arange(samples), **options)


def labels(batches: DeviceBatches) -> list[list[int]]:
    return [batch.tolist() for _, batch in batches]


@pytest.mark.parametrize("augmentation", ["none", "crop_flip"])
def test_every_sample_is_seen_once_an_epoch(augmentation: str) -> None:
    batches = make(augmentation=augmentation)
    found = labels(batches)
    assert [len(batch) for batch in found] == [16] * 6 + [7]
    assert len(batches) == 7
    assert sorted(itertools.chain(*found)) == list(range(103))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {tuple(epoch_order(50, seed, epoch).tolist()) for seed in range(4) for epoch in range(5)}
    assert len(orders) == 20


def test_evaluation_keeps_the_order() -> None:
    assert list(itertools.chain(*labels(make(seed=None)))) == list(range(103))


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
@pytest.mark.parametrize("augmentation", ["none", "crop_flip"])
def test_any_number_of_ranks_sees_the_same_global_batches(ranks: int, augmentation: str) -> None:
    whole = list(make(augmentation=augmentation))
    parts = [list(make(augmentation=augmentation, rank=rank, ranks=ranks)) for rank in range(ranks)]
    for step, (images, targets) in enumerate(whole):
        torch.testing.assert_close(torch.cat([part[step][0] for part in parts]), images, rtol=0, atol=0)
        assert torch.cat([part[step][1] for part in parts]).tolist() == targets.tolist()


@pytest.mark.parametrize("start", [0, 1, 6, 7, 10, 20])
def test_resuming_at_a_step_gives_the_remaining_batches(start: int) -> None:
    epoch, first = divmod(start, 7)
    uninterrupted = list(make(augmentation="crop_flip", position=lambda: 7 * epoch))
    resumed = list(make(augmentation="crop_flip", position=lambda: start))
    assert len(resumed) == 7 - first
    for (images, targets), (images_again, targets_again) in zip(uninterrupted[first:], resumed, strict=True):
        assert torch.equal(images, images_again)
        assert torch.equal(targets, targets_again)


def test_pixels_are_normalised_as_torchvision_does() -> None:
    batches = make(seed=None, batch_size=103)
    (images, _), *_ = batches
    wanted = reference.normalize(batches.images.float() / 255, [0.5, 0.4, 0.3], [0.2, 0.25, 0.3])
    torch.testing.assert_close(images, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("padding", ["zero", "reflect"])
@pytest.mark.parametrize("channels", [1, 3])
def test_crops_and_flips_are_torchvisions_pixel_for_pixel(padding: Padding, channels: int) -> None:
    images = make().images[:, :channels]
    offsets, flips = epoch_crops(103, seed=5, epoch=0)
    chosen = epoch_order(103, seed=5, epoch=0)
    found = Crops(images, padding)(chosen, offsets, flips).permute(0, 3, 1, 2)
    mode = {"zero": "constant", "reflect": "reflect"}[padding]
    padded = reference.pad(images, [PADDING] * 4, padding_mode=mode)
    for place, index in enumerate(chosen):
        image = reference.crop(padded[index], int(offsets[place, 0]), int(offsets[place, 1]), 8, 8)
        wanted = reference.horizontal_flip(image) if flips[place] else image
        assert torch.equal(found[place], wanted)


def test_batches_are_the_normalised_crops_in_channels_last_memory() -> None:
    batches = make(augmentation="crop_flip")
    (offsets, flips), order = epoch_crops(103, seed=5, epoch=0), epoch_order(103, seed=5, epoch=0)
    cropped = Crops(batches.images)(order, offsets, flips).permute(0, 3, 1, 2)
    for step, (images, _) in enumerate(batches):
        assert images.is_contiguous(memory_format=torch.channels_last)
        wanted = reference.normalize(cropped[16 * step :][:16].float() / 255, [0.5, 0.4, 0.3], [0.2, 0.25, 0.3])
        torch.testing.assert_close(images, wanted, rtol=1e-5, atol=1e-6)


def test_offsets_and_flips_are_uniform() -> None:
    drawn = [epoch_crops(5000, seed=1, epoch=epoch) for epoch in range(4)]
    offsets = torch.cat([offset for offset, _ in drawn])
    flips = torch.cat([flip for _, flip in drawn])
    cells = torch.bincount(offsets[:, 0] * 9 + offsets[:, 1], minlength=81)
    assert len(cells) == 81
    assert stats.chisquare(cells.numpy()).pvalue > 1e-4
    assert stats.chisquare(torch.bincount(flips).numpy()).pvalue > 1e-4


def test_no_global_random_number_is_drawn() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(make(augmentation="crop_flip"))
    assert torch.equal(before, torch.get_rng_state())
