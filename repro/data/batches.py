"""Batches that live on the device: order and augmentation are functions of (seed, epoch, step) alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from repro.data.gather import PADDING, Crops, Padding, Whole

_ORDER, _AUGMENTATION = 0, 1


def generator(seed: int, epoch: int, stream: int) -> torch.Generator:
    """An own generator for one purpose in one epoch, so that nothing else can change what it draws."""
    state = np.random.SeedSequence([seed, epoch, stream]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) & (2**63 - 1))


def epoch_order(samples: int, seed: int, epoch: int) -> Int[Tensor, " samples"]:
    """The order of the training images in an epoch: a permutation, from the seed and the epoch alone."""
    return torch.randperm(samples, generator=generator(seed, epoch, _ORDER))


def epoch_crops(samples: int, seed: int, epoch: int) -> tuple[Int[Tensor, "samples 2"], Int[Tensor, " samples"]]:
    """Offsets (rows, columns; 0 to 8) and flips (0 or 1) of the images at each place of an epoch's order."""
    source = generator(seed, epoch, _AUGMENTATION)
    offsets = torch.randint(0, 2 * PADDING + 1, (samples, 2), generator=source)
    return offsets, torch.randint(0, 2, (samples,), generator=source)


class DeviceBatches:
    """Batches of a data set that is held whole, as uint8, where the network is.

    Training batches start at the step that `position` gives and end with the epoch, so a run resumes in the middle of
    an epoch with no state of the loader's. Every rank draws the same global batch and takes its part of it.

    Args:
        images: All images.
        labels: All labels.
        batch_size: Images of a global batch; the last one of an epoch may be smaller.
        mean: Of the pixels in [0, 1], by channel.
        deviation: Of the pixels in [0, 1], by channel.
        seed: Of order and augmentation; None keeps the images' own order (evaluation).
        position: The number of steps taken so far, asked at the start of each pass.
        augmentation: What training images go through.
        padding: What surrounds an image that is cropped.
        device: Where batches go; where the images are if None. Images that do not fit there stay on the host, and a
            batch goes over as uint8, from pinned memory.
        rank: This rank.
        ranks: All ranks.
    """

    def __init__(
        self,
        images: UInt8[Tensor, "samples channels height width"],
        labels: Int[Tensor, " samples"],
        *,
        batch_size: int,
        mean: tuple[float, ...],
        deviation: tuple[float, ...],
        seed: int | None = None,
        position: Callable[[], int] = lambda: 0,
        augmentation: Literal["none", "crop_flip"] = "none",
        padding: Padding = "zero",
        device: torch.device | None = None,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        assert seed is not None or augmentation == "none"
        self.images, self.labels = images, labels
        self.device = device or images.device
        self.batch_size = batch_size
        self.seed = seed
        self.position = position
        self.rank, self.ranks = rank, ranks
        # (pixel / 255 - mean) / deviation as one multiplication and one addition, for a row of pixels.
        deviations = torch.tensor(deviation, dtype=torch.float64)
        shift = -torch.tensor(mean, dtype=torch.float64) / deviations
        width = images.shape[3]
        self._scale = (1 / (255 * deviations)).float().repeat(width).to(self.device)
        self._shift = shift.float().repeat(width).to(self.device)
        self._cropped = augmentation == "crop_flip"
        self._gather: Callable[..., Tensor] = Crops(images, padding) if self._cropped else Whole(images)

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return -(-len(self.images) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Float[Tensor, "batch channels height width"], Int[Tensor, " batch"]]]:
        """Normalised float32 images in channels-last memory and int64 labels: the rest of the current epoch."""
        labels = self.labels.to(self.device)
        for chosen, drawn in self._drawn():
            yield self._normalised(self._brought(self._gather(chosen, *drawn))), labels[chosen.to(self.device)]

    def places(self) -> Iterator[Int[Tensor, " batch"]]:
        """Which images this rank's batches hold: the rest of the current epoch."""
        for chosen, _ in self._drawn():
            yield chosen

    def _drawn(self) -> Iterator[tuple[Int[Tensor, " batch"], tuple[Tensor, ...]]]:
        """Images, and the offsets and flips of their crops if there are any."""
        samples = len(self.images)
        start, drawn = 0, [torch.arange(samples)]
        if self.seed is not None:
            epoch, start = divmod(self.position(), len(self))
            drawn = [epoch_order(samples, self.seed, epoch)]
            drawn += epoch_crops(samples, self.seed, epoch) if self._cropped else ()
        order, *crops = (each.to(self.images.device) for each in drawn)
        for step in range(start, len(self)):
            first = step * self.batch_size
            size = min(self.batch_size, samples - first)
            part = slice(first + size * self.rank // self.ranks, first + size * (self.rank + 1) // self.ranks)
            yield order[part], tuple(each[part] for each in crops)

    def state_dict(self) -> dict[str, object]:
        """Empty: the trainer's step says where to go on. Its being there tells Lightning that these batches resume."""
        return {}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Nothing to do."""

    def normalise(
        self, pixels: UInt8[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Pixels as the network reads them, on its device."""
        return self._normalised(self._brought(pixels.permute(0, 2, 3, 1).contiguous()))

    def _normalised(
        self, pixels: UInt8[Tensor, "batch height width channels"]
    ) -> Float[Tensor, "batch channels height width"]:
        rows = pixels.flatten(2).float()  # as rows of pixels: an inner loop over 3 channels would be slow
        return torch.addcmul(self._shift, rows, self._scale, out=rows).view(pixels.shape).permute(0, 3, 1, 2)

    def _brought(self, pixels: UInt8[Tensor, "batch height width channels"]) -> Tensor:
        if pixels.device == self.device:
            return pixels
        return pixels.pin_memory().to(self.device, non_blocking=True)
