"""Batches that live on the device: order and augmentation are functions of (seed, epoch, step) alone."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from repro.data.loading.gather import PADDING, Crops, Padding, Whole

_ORDER, _AUGMENTATION = 0, 1


def generator(seed: int, epoch: int, stream: int, *index: int) -> torch.Generator:
    """A generator for one purpose in one epoch (or one index in it), whose draws nothing else changes."""
    state = np.random.SeedSequence([seed, epoch, stream, *index]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) & (2**63 - 1))


def epoch_order(samples: int, seed: int, epoch: int) -> Int[Tensor, " samples"]:
    """The order of the training images in an epoch: a permutation, from the seed and the epoch alone."""
    return torch.randperm(samples, generator=generator(seed, epoch, _ORDER))


def epoch_crops(samples: int, seed: int, epoch: int) -> tuple[Int[Tensor, "samples 2"], Int[Tensor, " samples"]]:
    """Offsets (rows, columns; 0 to 8) and flips (0 or 1) of the images at each place of an epoch's order."""
    source = generator(seed, epoch, _AUGMENTATION)
    offsets = torch.randint(0, 2 * PADDING + 1, (samples, 2), generator=source)
    return offsets, torch.randint(0, 2, (samples,), generator=source)


def handed_over(values: Tensor, device: torch.device) -> Tensor:
    """Values on a device, without waiting for what it is doing: a GPU copies from pinned memory alone by itself."""
    crosses = device.type == "cuda" and values.device.type == "cpu"
    return (values.pin_memory() if crosses else values).to(device, non_blocking=True)


class Batches:
    """Which images each batch holds, and how their pixels become the network's input.

    Training batches start at the step that `position` gives, which is asked at the start of each pass, and end with the
    epoch, so a run resumes in the middle of an epoch with no state of the loader's. Every rank draws the same global
    batch and takes its part of it: none is padded, no image comes twice, and all ranks have the same number of batches,
    some of which may be empty. They come on the labels' device; without a seed in the images' own order (evaluation).
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
        self.device = labels.device
        # (pixel / 255 - mean) / deviation as one multiplication and one addition.
        deviations = torch.tensor(deviation, dtype=torch.float64)
        self._scale = (1 / (255 * deviations)).float().to(self.device)
        self._shift = (-torch.tensor(mean, dtype=torch.float64) / deviations).float().to(self.device)
        self._row_scale, self._row_shift = self._scale, self._shift  # of images one pixel wide

    def __len__(self) -> int:
        """Number of batches in a whole epoch."""
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

    def shared(self, rank: int, ranks: int) -> Batches:
        """The same images in the same order for rank `rank` of `ranks`; each rank's part of a batch keeps its size."""
        other = copy.copy(self)
        other.rank, other.ranks = rank, ranks
        other.batch_size = self.batch_size // self.ranks * ranks
        return other

    def state_dict(self) -> dict[str, object]:
        """Empty: the trainer's step says where to go on. Its being there tells Lightning that these batches resume."""
        return {}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Nothing to do."""

    def normalise(
        self, pixels: UInt8[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Pixels as the network reads them: on its device, in channels-last memory."""
        values = pixels.permute(0, 2, 3, 1).contiguous().to(self.device, non_blocking=True).flatten(2)
        values = values.to(torch.float32, copy=True)  # changed in place below, and not what was given
        width = pixels.shape[3]
        if len(self._row_scale) != values.shape[2]:  # rows of pixels: an inner loop over three channels would be slow
            self._row_scale, self._row_shift = self._scale.repeat(width), self._shift.repeat(width)
        torch.addcmul(self._row_shift, values, self._row_scale, out=values)
        images: Tensor = values.unflatten(2, (width, -1)).permute(0, 3, 1, 2)
        return images


class DeviceBatches(Batches):
    """Batches of a data set that is held whole, as uint8: on the labels' device, or on the host if that is full.

    Batches of the latter go over as uint8, from pinned memory. `gather` may be that of batches of the same images made
    before; further options are those of `Batches`.
    """

    def __init__(
        self,
        images: UInt8[Tensor, "samples channels height width"],
        labels: Int[Tensor, " samples"],
        *,
        augmentation: Literal["none", "crop_flip"] = "none",
        padding: Padding = "zero",
        gather: Whole | Crops | None = None,
        **options: Any,
    ) -> None:
        super().__init__(labels, **options)
        assert self.seed is not None or augmentation == "none"
        self.images = images
        self._cropped = augmentation == "crop_flip"
        self.gather = gather or (Crops(images, padding) if self._cropped else Whole(images))

    def __iter__(self) -> Iterator[tuple[Float[Tensor, "batch channels height width"], Int[Tensor, " batch"]]]:
        """Normalised float32 images in channels-last memory and int64 labels: the rest of the current epoch."""
        epoch, order, parts = self.remaining()
        of_labels, order = handed_over(order, self.device), handed_over(order, self.images.device)
        drawn: tuple[Tensor, ...] = ()
        if self._cropped and self.seed is not None:
            drawn = tuple(handed_over(draw, order.device) for draw in epoch_crops(len(order), self.seed, epoch))
        for part in parts:
            pixels = self.gather(order[part], *(draw[part] for draw in drawn)).permute(0, 3, 1, 2)
            if pixels.device != self.device:
                pixels = pixels.pin_memory()
            yield self.normalise(pixels), self.labels[of_labels[part]]
