"""What every data set of images has in common: its facts, its split, its probe."""

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

from repro.config import checked
from repro.data.loading.arrays import balanced_choice
from repro.data.loading.batches import Batches
from repro.errors import UserError


class SplitDataModule(LightningDataModule):
    """What every data set of images has in common as a LightningDataModule: facts, split, batches, probe.

    Facts are class attributes, or attributes of the instance where they are found by looking. No image is read before
    `setup`; the batches come normalised, on the device that the trainer uses.

    Args:
        root: Folder of prepared data.
        batch_size: Images of a global training batch.
        evaluation_batch_size: Images of an evaluation batch of one rank.
        seed: Seed of order and augmentation.
        train_size: Keep this many training images.
        validation_size: Training images set aside.
        test_size: Keep this many test images.
        split: Draw those three class-balanced or at random, or take the first images in the files' order.
        split_seed: Seed of the draws.
        normalization: Standardise the pixels, or leave them in [0, 1], or (raw) from 0 to 255.
        augmentation: What training images go through.
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
        test_size: int | None = None,
        split: Literal["balanced", "random", "first"] = "balanced",
        split_seed: int = 0,
        normalization: Literal["mean_deviation", "none", "raw"] = "mean_deviation",
        augmentation: Literal["none", "crop_flip", "resized_crop_flip"] = "none",
    ) -> None:
        super().__init__()
        sizes: dict[str, Any] = {"train_size": train_size, "validation_size": validation_size, "test_size": test_size}
        sizes |= {"batch_size": batch_size, "evaluation_batch_size": evaluation_batch_size}
        drawn = {"split": split, "seed": split_seed, "normalization": normalization, "augmentation": augmentation}
        checked(type(self).__name__, seed=seed, data={**sizes, **drawn})
        self.root = Path(root)
        self.batch_size = batch_size
        self.evaluation_batch_size = evaluation_batch_size
        self.seed = seed
        self.train_size = train_size
        self.validation_size = validation_size
        self.test_size = test_size
        self.split = split
        self.split_seed = split_seed
        self.normalization = normalization
        self.augmentation = augmentation
        self.training_batches: Callable[[Batches], Any] | None = None
        """What to train on in place of the images: made of the batches that they would come in."""
        self._sets: dict[str, Any] = {}
        """What each part's batches are made of: a tuple of which the labels are the last."""

    def samples(self, part: str) -> int:
        """Number of images in a part: train, validation or test."""
        return len(self._sets[part][-1])

    @property
    def evaluated(self) -> list[str]:
        """The held-out parts, in the order of `val_dataloader`."""
        return [part for part in ("validation", "test") if part in self._sets]

    @abstractmethod
    def batches(self, part: str, *, training: bool = False) -> Batches:
        """Batches of a part, for evaluation or for training."""

    @abstractmethod
    def _first(self, part: str, size: int) -> tuple[UInt8[Tensor, "size channels height width"], Tensor]:
        """The first images of a part, unaugmented, and their labels."""

    @property
    def device(self) -> torch.device:
        """The device that batches are needed on: the trainer's."""
        return self.trainer.strategy.root_device if self.trainer is not None else torch.device("cpu")

    def _batch_options(self, *, training: bool) -> dict[str, Any]:
        """The arguments of `repro.data.loading.batches.Batches` besides the labels."""
        trainer = self.trainer
        ranks = trainer.world_size if trainer else 1
        standard = self.normalization == "mean_deviation"
        return {
            "batch_size": self.batch_size if training else self.evaluation_batch_size * ranks,
            "mean": self.mean if standard else (0.0,) * self.in_channels,
            "deviation": self.deviation if standard else (self._unit,) * self.in_channels,
            "seed": self.seed if training else None,
            "position": (lambda: trainer.global_step) if trainer and training else (lambda: 0),
            "rank": trainer.global_rank if trainer else 0,
            "ranks": ranks,
        }

    @property
    def _unit(self) -> float:
        """What pixels in [0, 1] are divided by where they are not standardised."""
        return 1 / 255 if self.normalization == "raw" else 1.0

    def _split(self, labels: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Indices of the training images that are trained on, and of those set aside for validation."""
        held_out = self._chosen(labels, self.validation_size, self.split_seed)
        kept = np.setdiff1d(np.arange(len(labels)), held_out)
        if self.train_size is not None:
            if self.train_size > len(kept):
                raise UserError(f"data.train_size is {self.train_size}; there are {len(kept)} training images")
            kept = kept[self._chosen(labels[kept], self.train_size, self.split_seed + 1)]
        if self.batch_size > len(kept):
            raise UserError(
                f"data.batch_size is {self.batch_size}; allowed, as for measure.probe_size: "
                f"up to the {len(kept)} training images"
            )
        return kept, held_out

    def _tested(self, labels: npt.NDArray[np.integer]) -> npt.NDArray[np.intp]:
        """Indices of the test images that are evaluated."""
        if self.test_size is None:
            return np.arange(len(labels))
        if self.test_size > len(labels):
            raise UserError(f"data.test_size is {self.test_size}; there are {len(labels)} test images")
        return self._chosen(labels, self.test_size, self.split_seed + 2)

    def _chosen(self, labels: npt.NDArray[np.integer], size: int, seed: int) -> npt.NDArray[np.intp]:
        if self.split == "random":
            return np.sort(np.random.default_rng(seed).permutation(len(labels))[:size])
        return np.arange(size) if self.split == "first" else balanced_choice(labels, size, seed)

    def probe(self, size: int) -> tuple[Float[Tensor, "size channels height width"], Int[Tensor, " size"]]:
        """The first `size` training images as the network reads them, unaugmented: the same ones always."""
        if size > (count := self.samples("train")):
            raise UserError(f"measure.probe_size is {size}; allowed: up to the {count} training images")
        pixels, labels = self._first("train", size)
        return self.batches("train").normalise(pixels), labels

    def held_out_probe(self, size: int) -> Float[Tensor, "size channels height width"]:
        """The first `size` held-out images (validation before test) as the network reads them."""
        if not self.evaluated:
            raise UserError("amplification needs held-out images; set data.validation_size")
        part = self.evaluated[0]
        if size > (count := self.samples(part)):
            raise UserError(f"measure.probe_size is {size}; amplification allows up to the {count} {part} images")
        return self.batches(part).normalise(self._first(part, size)[0])

    def train_dataloader(self) -> Any:
        """Shuffled, augmented batches, or what `training_batches` makes of them."""
        batches = self.batches("train", training=True)
        return batches if self.training_batches is None else self.training_batches(batches)

    def val_dataloader(self) -> list[Batches]:
        """Batches of each held-out part."""
        return [self.batches(part) for part in self.evaluated]

    def test_dataloader(self) -> list[Batches]:
        """Batches of the training set, in order and unaugmented, and of each held-out part: the final evaluation."""
        return [self.batches("train"), *self.val_dataloader()]
