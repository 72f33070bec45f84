"""What every data set of images has in common, and those that are held whole on the device."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int, UInt8
from lightning.pytorch import LightningDataModule
from torch import Tensor

from repro.data.batches import Batches, DeviceBatches
from repro.errors import UserError


class Arrays(NamedTuple):
    """A data set as arrays: images (N, H, W) or (N, H, W, C) of uint8, labels (N,)."""

    train_images: npt.NDArray[np.uint8]
    train_labels: npt.NDArray[np.integer]
    test_images: npt.NDArray[np.uint8]
    test_labels: npt.NDArray[np.integer]


def balanced_choice(labels: npt.NDArray[np.integer], size: int, seed: int) -> npt.NDArray[np.intp]:
    """Indices of `size` samples with every class as often as the others (to within one), in rising order.

    Raises:
        UserError: If a class has too few samples.
    """
    generator = np.random.default_rng(seed)
    classes = np.unique(labels)
    shares = np.full(len(classes), size // len(classes))
    shares[generator.permutation(len(classes))[: size % len(classes)]] += 1
    chosen = []
    for label, share in zip(classes, shares, strict=True):
        members = np.flatnonzero(labels == label)
        if len(members) < share:
            raise UserError(f"{size} class-balanced images need {share} of class {label}; there are {len(members)}")
        chosen.append(generator.permutation(members)[:share])
    return np.sort(np.concatenate(chosen))


class SplitDataModule(LightningDataModule):
    """What every data set of images has in common as a LightningDataModule: facts, split, batches, probe.

    Facts are class attributes, or attributes of the instance where they are found by looking. No image is read before
    `setup`; the batches come normalised, on the device that the trainer uses.

    Args:
        root: Folder of prepared data.
        batch_size: Images of a global training batch.
        evaluation_batch_size: Images of an evaluation batch of one rank.
        seed: Seed of order and augmentation.
        train_size: Keep this many training images, class-balanced.
        validation_size: Training images set aside, class-balanced.
        split_seed: Seed of those two choices.
        normalization: Standardise the pixels, or leave them in [0, 1].
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
        split_seed: int = 0,
        normalization: Literal["mean_deviation", "none"] = "mean_deviation",
        augmentation: Literal["none", "crop_flip", "resized_crop_flip"] = "none",
    ) -> None:
        super().__init__()
        self.root = Path(root)
        self.batch_size = batch_size
        self.evaluation_batch_size = evaluation_batch_size
        self.seed = seed
        self.train_size = train_size
        self.validation_size = validation_size
        self.split_seed = split_seed
        self.normalization = normalization
        self.augmentation = augmentation
        self.training_batches: Callable[[Batches], Any] | None = None
        """What to train on in place of the images: made of the batches that they would come in."""
        self._sets: dict[str, Any] = {}
        """What each part's batches are made of: a tuple of which the labels are the last."""

    def samples(self, part: str) -> int:
        """Images in a part: train, validation or test."""
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
        """Where the batches are wanted: the trainer's device."""
        return self.trainer.strategy.root_device if self.trainer is not None else torch.device("cpu")

    def _batch_options(self, *, training: bool) -> dict[str, Any]:
        """The arguments of `repro.data.batches.Batches` besides the labels."""
        trainer = self.trainer
        ranks = trainer.world_size if trainer else 1
        standard = self.normalization == "mean_deviation"
        return {
            "batch_size": self.batch_size if training else self.evaluation_batch_size * ranks,
            "mean": self.mean if standard else (0.0,) * self.in_channels,
            "deviation": self.deviation if standard else (1.0,) * self.in_channels,
            "seed": self.seed if training else None,
            "position": (lambda: trainer.global_step) if trainer and training else (lambda: 0),
            "rank": trainer.global_rank if trainer else 0,
            "ranks": ranks,
        }

    def _split(self, labels: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Indices of the training images that are trained on, and of those set aside for validation."""
        kept, held_out = np.arange(len(labels)), np.arange(0)
        if self.validation_size:
            held_out = balanced_choice(labels, self.validation_size, self.split_seed)
            kept = np.setdiff1d(kept, held_out)
        if self.train_size is not None:
            if self.train_size > len(kept):
                raise UserError(f"data.train_size is {self.train_size}; there are {len(kept)} training images")
            kept = kept[balanced_choice(labels[kept], self.train_size, self.split_seed + 1)]
        if self.batch_size > len(kept):
            raise UserError(f"data.batch_size is {self.batch_size}; allowed: up to the {len(kept)} training images")
        return kept, held_out

    def probe(self, size: int) -> tuple[Float[Tensor, "size channels height width"], Int[Tensor, " size"]]:
        """The first `size` training images as the network reads them, unaugmented: the same ones always.

        Raises:
            UserError: If there are fewer.
        """
        if size > (known := self.samples("train")):
            raise UserError(f"measure.probe_size is {size}; allowed: up to the {known} training images")
        pixels, labels = self._first("train", size)
        return self.batches("train").normalise(pixels), labels

    def held_out_probe(self, size: int) -> Float[Tensor, "size channels height width"]:
        """The first `size` held-out images (validation before test) as the network reads them.

        Raises:
            UserError: If there are fewer.
        """
        if not self.evaluated:
            raise UserError("amplification needs held-out images; set data.validation_size")
        part = self.evaluated[0]
        if size > (known := self.samples(part)):
            raise UserError(f"measure.probe_size is {size}; amplification allows up to the {known} {part} images")
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


class ImageDataModule(SplitDataModule):
    """A data set of small images, held whole on the device as uint8.

    A subclass gives its facts as class attributes and its arrays by `load`. Nothing is loaded before `setup`.

    Args: see `SplitDataModule`.
    """

    @abstractmethod
    def load(self) -> Arrays:
        """The whole data set, its files checked."""

    def setup(self, stage: str | None = None) -> None:  # noqa: ARG002
        """Load, check and split the arrays; put them on the trainer's device as uint8."""
        if self._sets:
            return
        arrays = self.load()
        self._check(arrays)
        kept, held_out = self._split(arrays.train_labels)
        self._sets["train"] = self._resident(arrays.train_images[kept], arrays.train_labels[kept])
        if len(held_out):
            self._sets["validation"] = self._resident(arrays.train_images[held_out], arrays.train_labels[held_out])
        self._sets["test"] = self._resident(arrays.test_images, arrays.test_labels)

    def _check(self, arrays: Arrays) -> None:
        wanted = (self.image_size, self.image_size, *((self.in_channels,) if self.in_channels > 1 else ()))
        for images, labels, part in (
            (arrays.train_images, arrays.train_labels, "training"),
            (arrays.test_images, arrays.test_labels, "test"),
        ):
            if images.shape[1:] != wanted or len(images) != len(labels) or images.dtype != np.uint8:
                raise UserError(
                    f"{type(self).__name__}: {part} images have shape {images.shape} and kind {images.dtype} for "
                    f"{len(labels)} labels; expected ({len(labels)}, {', '.join(map(str, wanted))}) of uint8"
                )
            if len(labels) and not (labels.min() >= 0 and labels.max() < self.num_classes):
                raise UserError(
                    f"{type(self).__name__}: {part} labels lie in {labels.min()} to {labels.max()}; "
                    f"expected 0 to {self.num_classes - 1}"
                )

    def _resident(
        self, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.integer]
    ) -> tuple[Tensor, Int[Tensor, " samples"]]:
        pixels = torch.from_numpy(np.array(images))  # a copy: files are read-only
        pixels = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()
        return pixels.to(self.device), torch.from_numpy(labels.astype(np.int64)).to(self.device)

    def batches(self, part: str, *, training: bool = False) -> DeviceBatches:
        """Batches of a part, for evaluation or for training."""
        augmentation: Any = self.augmentation if training else "none"
        return DeviceBatches(*self._sets[part], augmentation=augmentation, **self._batch_options(training=training))

    def _first(self, part: str, size: int) -> tuple[UInt8[Tensor, "size channels height width"], Tensor]:
        images, labels = self._sets[part]
        return images[:size], labels[:size]
