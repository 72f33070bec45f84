"""Data sets of small images, held whole on the device."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from repro.data.loading.arrays import Arrays, require
from repro.data.loading.batches import DeviceBatches
from repro.data.loading.gather import PADDING, Crops, Padding, Whole
from repro.data.split import SplitDataModule


class ImageDataModule(SplitDataModule):
    """A data set of small images, held whole on the device as uint8.

    A subclass gives its facts as class attributes and its arrays by `load`. Nothing is loaded before `setup`.

    Args:
        root: Folder of prepared data.
        padding: What surrounds an image that is cropped.
        residence: Where the images live: on the trainer's device, on the host, or (auto) on the device if they fit.
        options: See `SplitDataModule`.
    """

    def __init__(
        self,
        root: str | Path = "data",
        *,
        padding: Padding = "zero",
        residence: Literal["auto", "device", "host"] = "auto",
        **options: Any,
    ) -> None:
        super().__init__(root, **options)
        self.padding = padding
        self.residence = residence
        self._gathers: dict[tuple[str, str], Whole | Crops] = {}

    @abstractmethod
    def load(self) -> Arrays:
        """The whole data set, its files checked."""

    def setup(self, stage: str | None = None) -> None:
        """Load, check and split the arrays; put them where they are to live, as uint8."""
        if self._sets:
            return
        arrays = self.load()
        facts = {"classes": self.num_classes, "channels": self.in_channels, "image_size": self.image_size}
        require(arrays, type(self).__name__, **facts)
        kept, held_out = self._split(arrays.train_labels)
        self._sets["train"] = self._resident(arrays.train_images, arrays.train_labels, kept)
        if len(held_out):
            self._sets["validation"] = self._resident(arrays.train_images, arrays.train_labels, held_out)
        self._sets["test"] = self._resident(arrays.test_images, arrays.test_labels, self._tested(arrays.test_labels))

    def _resident(
        self, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.integer], chosen: npt.NDArray[np.intp]
    ) -> tuple[UInt8[Tensor, "samples channels height width"], Int[Tensor, " samples"]]:
        """The chosen images in channels-last memory where they are to live, and their labels on the device."""
        if len(chosen) < len(labels):  # mapped memory stays shared where all are
            images, labels = images[chosen], labels[chosen]
        pixels = torch.from_numpy(images if images.flags.writeable else np.array(images))
        pixels = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
        on_device = self.residence == "device" or (self.residence == "auto" and self._fits(pixels.nbytes))
        device = self.device if on_device else torch.device("cpu")
        return pixels.to(device), torch.from_numpy(labels.astype(np.int64)).to(self.device)

    def _fits(self, size: int) -> bool:
        """Whether images of `size` bytes, and their padded copies, fit into half of the device's free memory."""
        if self.device.type != "cuda":
            return True
        padded = 2 * (1 + 2 * PADDING / self.image_size) ** 2 if self.augmentation == "crop_flip" else 0.0  # see Crops
        return size * (1 + padded) <= torch.cuda.mem_get_info(self.device)[0] / 2

    def batches(self, part: str, *, training: bool = False) -> DeviceBatches:
        """Batches of a part, for evaluation or for training."""
        augmentation: Any = self.augmentation if training else "none"
        options = self._batch_options(training=training)
        batches = DeviceBatches(
            *self._sets[part],
            augmentation=augmentation,
            padding=self.padding,
            gather=self._gathers.get((part, augmentation)),
            **options,
        )
        self._gathers[part, augmentation] = batches.gather
        return batches

    def _first(self, part: str, size: int) -> tuple[UInt8[Tensor, "size channels height width"], Tensor]:
        images, labels = self._sets[part]
        return images[:size], labels[:size]
