"""What every data set of small images has in common: held on the device, split, batched, probed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int, UInt8
from lightning.pytorch import LightningDataModule
from torch import Tensor

from repro.data.arrays import Arrays, balanced_choice, require
from repro.data.batches import DeviceBatches
from repro.data.gather import PADDING, Padding
from repro.errors import UserError


class ImageDataModule(LightningDataModule):
    """A data set of small images as a LightningDataModule.

    A subclass gives its facts as class attributes and its arrays by `load`. Nothing is loaded before `setup`; the
    batches live on the device that the trainer uses.

    Args:
        root: Folder of prepared data.
        batch_size: Images of a global training batch.
        evaluation_batch_size: Images of an evaluation batch of one rank.
        seed: Seed of order and augmentation.
        train_size: Keep this many training images.
        validation_size: Training images set aside.
        split: Draw those two class-balanced, or take the first images in the files' order.
        split_seed: Seed of the draws.
        normalization: Standardise the pixels, or leave them in [0, 1].
        augmentation: What training images go through.
        padding: What surrounds an image that is cropped.
        residence: Where the images live as uint8: on the trainer's device, on the host, or on the device if they fit.
    """

    num_classes: int
    in_channels: int
    image_size: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __init__(
        self,
        root: str | Path = "data",
        *,
        batch_size: int = 128,
        evaluation_batch_size: int = 500,
        seed: int = 0,
        train_size: int | None = None,
        validation_size: int = 0,
        split: Literal["balanced", "first"] = "balanced",
        split_seed: int = 0,
        normalization: Literal["mean_deviation", "none"] = "mean_deviation",
        augmentation: Literal["none", "crop_flip"] = "none",
        padding: Padding = "zero",
        residence: Literal["auto", "device", "host"] = "auto",
    ) -> None:
        super().__init__()
        self.root = Path(root)
        self.batch_size = batch_size
        self.evaluation_batch_size = evaluation_batch_size
        self.seed = seed
        self.train_size = train_size
        self.validation_size = validation_size
        self.split = split
        self.split_seed = split_seed
        self.normalization = normalization
        self.augmentation = augmentation
        self.padding = padding
        self.residence = residence
        self.training_batches: Callable[[DeviceBatches], Any] | None = None
        """What to train on in place of the images: made of the batches that they would come in."""
        self._sets: dict[str, tuple[Tensor, Tensor]] = {}

    @abstractmethod
    def load(self) -> Arrays:
        """The whole data set, its files checked."""

    def setup(self, stage: str | None = None) -> None:  # noqa: ARG002
        """Load, check and split the arrays; put them on the trainer's device as uint8."""
        if self._sets:
            return
        arrays = self.load()
        facts = {"classes": self.num_classes, "channels": self.in_channels, "image_size": self.image_size}
        require(arrays, type(self).__name__, **facts)
        kept = np.arange(len(arrays.train_labels))
        held_out = self._chosen(arrays.train_labels, self.validation_size, self.split_seed)
        kept = np.setdiff1d(kept, held_out)
        if self.train_size is not None:
            if self.train_size > len(kept):
                raise UserError(f"data.train_size is {self.train_size}; there are {len(kept)} training images")
            kept = kept[self._chosen(arrays.train_labels[kept], self.train_size, self.split_seed + 1)]
        if self.batch_size > len(kept):
            raise UserError(f"data.batch_size is {self.batch_size}; allowed: up to the {len(kept)} training images")
        whole = len(kept) == len(arrays.train_labels)
        train_images = arrays.train_images if whole else arrays.train_images[kept]  # mapped memory stays shared
        self._sets["train"] = self._resident(train_images, arrays.train_labels[kept])
        if len(held_out):
            self._sets["validation"] = self._resident(arrays.train_images[held_out], arrays.train_labels[held_out])
        self._sets["test"] = self._resident(arrays.test_images, arrays.test_labels)

    def _chosen(self, labels: npt.NDArray[np.integer], size: int, seed: int) -> npt.NDArray[np.intp]:
        return np.arange(size) if self.split == "first" else balanced_choice(labels, size, seed)

    def _resident(
        self, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.integer]
    ) -> tuple[UInt8[Tensor, "samples channels height width"], Int[Tensor, " samples"]]:
        """Images in channels-last memory and labels, where they are to live."""
        pixels = torch.from_numpy(images if images.flags.writeable else np.array(images))
        pixels = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
        place = self._device if self.residence == "device" or self._fits(pixels.nbytes) else torch.device("cpu")
        return pixels.to(place), torch.from_numpy(labels.astype(np.int64)).to(place)

    def _fits(self, size: int) -> bool:
        if self._device.type != "cuda":
            return True
        padded = 2 * (1 + 2 * PADDING / self.image_size) ** 2 if self.augmentation == "crop_flip" else 0.0  # see Crops
        return self.residence == "auto" and size * (1 + padded) <= torch.cuda.mem_get_info(self._device)[0] / 2

    @property
    def _device(self) -> torch.device:
        return self.trainer.strategy.root_device if self.trainer is not None else torch.device("cpu")

    def samples(self, part: str) -> int:
        """Images in a part: train, validation or test."""
        return len(self._sets[part][1])

    def batches(self, part: str, *, training: bool = False) -> DeviceBatches:
        """Batches of a part, for evaluation or for training."""
        trainer = self.trainer
        ranks = trainer.world_size if trainer else 1
        images, labels = self._sets[part]
        standard = self.normalization == "mean_deviation"
        return DeviceBatches(
            images,
            labels,
            batch_size=self.batch_size if training else self.evaluation_batch_size * ranks,
            mean=self.mean if standard else (0.0,) * self.in_channels,
            deviation=self.deviation if standard else (1.0,) * self.in_channels,
            seed=self.seed if training else None,
            position=(lambda: trainer.global_step) if trainer and training else (lambda: 0),
            augmentation=self.augmentation if training else "none",
            padding=self.padding,
            device=self._device,
            rank=trainer.global_rank if trainer else 0,
            ranks=ranks,
        )

    def probe(self, size: int) -> tuple[Float[Tensor, "size channels height width"], Int[Tensor, " size"]]:
        """The first `size` training images as the network reads them, unaugmented: the same ones always.

        Raises:
            UserError: If there are fewer.
        """
        images, labels = self._sets["train"]
        if size > len(images):
            raise UserError(f"measure.probe_size is {size}; allowed: up to the {len(images)} training images")
        return self.batches("train").normalise(images[:size]), labels[:size].to(self._device)

    def held_out_probe(self, size: int) -> Float[Tensor, "size channels height width"]:
        """The first `size` held-out images (validation before test) as the network reads them.

        Raises:
            UserError: If there are fewer.
        """
        part = self.evaluated[0]
        images, _ = self._sets[part]
        if size > len(images):
            raise UserError(f"measure.probe_size is {size}; amplification allows up to the {len(images)} {part} images")
        return self.batches(part).normalise(images[:size])

    @property
    def evaluated(self) -> list[str]:
        """The held-out parts, in the order of `val_dataloader`."""
        return [part for part in ("validation", "test") if part in self._sets]

    def train_dataloader(self) -> Any:
        """Shuffled, augmented batches, or what `training_batches` makes of them."""
        batches = self.batches("train", training=True)
        return batches if self.training_batches is None else self.training_batches(batches)

    def val_dataloader(self) -> list[DeviceBatches]:
        """Batches of each held-out part."""
        return [self.batches(part) for part in self.evaluated]

    def test_dataloader(self) -> list[DeviceBatches]:
        """Batches of the training set, in order and unaugmented, and of each held-out part: the final evaluation."""
        return [self.batches("train"), *self.val_dataloader()]
