"""Batches that live on the device: order and augmentation are functions of (seed, epoch, step) alone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

PADDING = 4
"""Pixels of zero padding around an image before a random crop of its size."""

_ORDER, _AUGMENTATION = 0, 1


def generator(seed: int, epoch: int, stream: int, *place: int) -> torch.Generator:
    """An own generator for one purpose in one epoch (for one place in it), so that nothing else changes its draws."""
    state = np.random.SeedSequence([seed, epoch, stream, *place]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) & (2**63 - 1))


def epoch_order(samples: int, seed: int, epoch: int) -> Int[Tensor, " samples"]:
    """The order of the training images in an epoch: a permutation, from the seed and the epoch alone."""
    return torch.randperm(samples, generator=generator(seed, epoch, _ORDER))


def epoch_crops(samples: int, seed: int, epoch: int) -> tuple[Int[Tensor, "samples 2"], Int[Tensor, " samples"]]:
    """Offsets (rows, columns; 0 to 8) and flips (0 or 1) of the images at each place of an epoch's order."""
    source = generator(seed, epoch, _AUGMENTATION)
    offsets = torch.randint(0, 2 * PADDING + 1, (samples, 2), generator=source)
    return offsets, torch.randint(0, 2, (samples,), generator=source)


def crop_and_flip(
    padded: UInt8[Tensor, "samples channels rows columns"],
    chosen: Int[Tensor, " batch"],
    offsets: Int[Tensor, "batch 2"],
    flips: Int[Tensor, " batch"],
) -> UInt8[Tensor, "batch channels height width"]:
    """Crop each chosen image at its own offset and mirror it where its flip is 1, in one gather."""
    height, width = padded.shape[2] - 2 * PADDING, padded.shape[3] - 2 * PADDING
    rows = offsets[:, :1] + torch.arange(height, device=padded.device)
    columns = torch.arange(width, device=padded.device).expand(len(chosen), width)
    columns = offsets[:, 1:] + torch.where(flips[:, None] == 1, width - 1 - columns, columns)
    # Index tensors around a slice put their axes first: the result is (batch, height, width, channels).
    return padded[chosen[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


class Batches:
    """Which images each batch holds, and how their pixels become the network's input.

    Training batches start at the step that `position` gives and end with the epoch, so a run resumes in the middle of
    an epoch with no state of the loader's. Every rank draws the same global batch and takes its part of it: none is
    padded, no image comes twice, and all ranks have the same number of batches, some of which may be empty.

    Args:
        labels: All labels, where the batches are wanted.
        batch_size: Images of a global batch; the last one of an epoch may be smaller.
        mean: Of the pixels in [0, 1], by channel.
        deviation: Of the pixels in [0, 1], by channel.
        seed: Of order and augmentation; None keeps the images' own order (evaluation).
        position: The number of steps taken so far, asked at the start of each pass.
        rank: This rank.
        ranks: All ranks.
    """

    def __init__(
        self,
        labels: Int[Tensor, " samples"],
        *,
        batch_size: int,
        mean: tuple[float, ...],
        deviation: tuple[float, ...],
        seed: int | None = None,
        position: Callable[[], int] = lambda: 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.labels = labels
        self.batch_size = batch_size
        self.seed = seed
        self.position = position
        self.rank, self.ranks = rank, ranks
        shape = (1, -1, 1, 1)
        # (pixel / 255 - mean) / deviation as one multiplication and one addition.
        self._scale = (1 / (255 * torch.tensor(deviation, dtype=torch.float64))).float().view(shape).to(labels.device)
        self._shift = (-torch.tensor(mean, dtype=torch.float64) / torch.tensor(deviation, dtype=torch.float64)).float()
        self._shift = self._shift.view(shape).to(labels.device)

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return -(-len(self.labels) // self.batch_size)

    @abstractmethod
    def __iter__(self) -> Iterator[tuple[Float[Tensor, "batch channels height width"], Int[Tensor, " batch"]]]:
        """Normalised float32 images and int64 labels: the rest of the current epoch."""

    def remaining(self) -> tuple[int, Int[Tensor, " samples"], list[slice]]:
        """The current epoch, its order, and this rank's places in it: one slice for each batch that remains."""
        epoch, start = divmod(self.position(), len(self)) if self.seed is not None else (0, 0)
        samples = len(self.labels)
        order = torch.arange(samples) if self.seed is None else epoch_order(samples, self.seed, epoch)
        parts = []
        for step in range(start, len(self)):
            first = step * self.batch_size
            size = min(self.batch_size, samples - first)
            parts.append(slice(first + size * self.rank // self.ranks, first + size * (self.rank + 1) // self.ranks))
        return epoch, order, parts

    def state_dict(self) -> dict[str, object]:
        """Empty: the trainer's step says where to go on. Its being there tells Lightning that these batches resume."""
        return {}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Nothing to do."""

    def normalise(
        self, pixels: UInt8[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Pixels as the network reads them."""
        return torch.addcmul(self._shift, pixels.float(), self._scale)


class DeviceBatches(Batches):
    """Batches of a data set that is held whole, as uint8, where the network is.

    Args:
        images: All images.
        labels: All labels.
        augmentation: What training images go through.
        options: See `Batches`.
    """

    def __init__(
        self,
        images: UInt8[Tensor, "samples channels height width"],
        labels: Int[Tensor, " samples"],
        *,
        augmentation: Literal["none", "crop_flip"] = "none",
        **options: Any,
    ) -> None:
        super().__init__(labels, **options)
        self.images = images
        self._padded = None
        if augmentation == "crop_flip":
            self._padded = torch.nn.functional.pad(images, (PADDING,) * 4)

    def __iter__(self) -> Iterator[tuple[Float[Tensor, "batch channels height width"], Int[Tensor, " batch"]]]:
        """Normalised float32 images and int64 labels: the rest of the current epoch."""
        for chosen, drawn in self.places():
            pixels = self.images[chosen] if self._padded is None else crop_and_flip(self._padded, chosen, *drawn)
            yield self.normalise(pixels), self.labels[chosen]

    def places(self) -> Iterator[tuple[Int[Tensor, " batch"], tuple[Tensor, ...]]]:
        """Which images this rank's batches hold, and how each is cropped and flipped: the rest of the current epoch."""
        device = self.images.device
        epoch, order, parts = self.remaining()
        order = order.to(device)
        if self._padded is not None:
            assert self.seed is not None
            offsets, flips = (drawn.to(device) for drawn in epoch_crops(len(order), self.seed, epoch))
        for part in parts:
            yield order[part], () if self._padded is None else (offsets[part], flips[part])
