"""Data sets of image files: ImageNet, and any folder of images."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from repro.data.loading.decoding import DecodedBatches, Decoder, Files, Request
from repro.data.preparation.tree import Part, Tree
from repro.data.registry import DATASETS
from repro.data.sources.imagenet import folder_tree, imagenet_tree
from repro.data.split import SplitDataModule
from repro.errors import UserError
from repro.machine import processors


def default_workers(local_ranks: int) -> int:
    """One process for each processor that this one may use, shared among the ranks of this machine."""
    return max(1, processors() // local_ranks)


def _files(part: Part) -> Files:
    """The files of a part in a fixed order that mixes the classes: the first N are a fair sample."""
    names = [
        f"{label}/{name}".encode("utf-8", "surrogateescape") for label, files in part.classes.items() for name in files
    ]
    counts = [len(files) for files in part.classes.values()]
    labels = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    mixed = np.random.default_rng(0).permutation(len(names))
    return Files(str(part.folder), np.array(names), labels).take(mixed)


class FolderDataModule(SplitDataModule):
    """A data set that is decoded from image files as it is needed.

    Args:
        root: Folder of prepared data.
        image_size: Side of the square images that the network reads.
        resize_size: The shorter side before the centre is cropped. Default: image_size · 256 / 224.
        workers: Processes that decode, for each rank. Default: `default_workers`.
        orientation: Pixels as they are stored, or turned as EXIF data say.
        options: See `SplitDataModule`.
    """

    in_channels = 3
    mean, deviation = DATASETS["ImageNet"].mean, DATASETS["ImageNet"].deviation

    def __init__(
        self,
        root: str | Path = "data",
        *,
        image_size: int = 224,
        resize_size: int | None = None,
        workers: int | None = None,
        orientation: Literal["stored", "exif"] = "stored",
        **options: Any,
    ) -> None:
        super().__init__(root, **options)
        self.image_size = image_size
        self.resize_size = round(image_size * 256 / 224) if resize_size is None else resize_size
        if self.resize_size < image_size:
            raise UserError(f"data.resize_size is {self.resize_size}; allowed: data.image_size {image_size} or more")
        self.workers = workers
        self.turned = orientation == "exif"
        self.tree = self._look()
        self.num_classes = len(self.tree.classes)
        self._opened: list[DecodedBatches] = []

    @abstractmethod
    def _look(self) -> Tree:
        """The tree of files."""

    def setup(self, stage: str | None = None) -> None:
        """Split the lists of files; no image is read."""
        if self._sets:
            return
        train = _files(self.tree.parts["train"])
        kept, held_out = self._split(train.labels)
        self._sets["train"] = train.take(kept)
        if len(held_out):
            self._sets["validation"] = train.take(held_out)
        for name, part in self.tree.parts.items():
            if name in self._sets and name != "train":
                raise UserError(
                    f"data.validation_size is {self.validation_size}; '{part.folder}' is the validation set; set 0"
                )
            if name != "train":
                files = _files(part)
                self._sets[name] = files.take(self._tested(files.labels)) if name == "test" else files

    def batches(self, part: str, *, training: bool = False) -> DecodedBatches:
        """Batches of a part, for evaluation or for training."""
        augmentation: Any = self.augmentation if training else "none"
        local_ranks = self.trainer.num_devices if self.trainer is not None else 1
        batches = DecodedBatches(
            self._sets[part],
            device=self.device,
            size=self.image_size,
            resize=self.resize_size,
            workers=default_workers(local_ranks) if self.workers is None else self.workers,
            local_ranks=local_ranks,
            augmentation=augmentation,
            turned=self.turned,
            **self._batch_options(training=training),
        )
        self._opened.append(batches)
        return batches

    def teardown(self, stage: str) -> None:
        """End the workers."""
        while self._opened:
            self._opened.pop().close()

    def _first(self, part: str, size: int) -> tuple[UInt8[Tensor, "size channels height width"], Tensor]:
        decoder = Decoder(
            self._sets[part], size=self.image_size, resize=self.resize_size, seed=None, turned=self.turned
        )
        decoded = decoder[Request(np.arange(size), 0, 0)]
        if isinstance(decoded, str):
            raise UserError(decoded)
        pixels, labels = decoded
        return pixels.permute(0, 3, 1, 2).to(self.device), labels.to(self.device)


class ImageNet(FolderDataModule):
    """1,281,167 + 50,000 photographs of 1,000 classes (`repro data prepare imagenet`), decoded by worker processes.

    Example:
        >>> from lightning.pytorch import LightningDataModule
        >>> issubclass(ImageNet, LightningDataModule)  # ImageNet("data", workers=8) reads data/imagenet
        True
    """

    def _look(self) -> Tree:
        return imagenet_tree(self.root)


class ImageFolder(FolderDataModule):
    """Any folder with ``train`` and ``val`` (or ``test``) of class folders; normalised as ImageNet is.

    Example:
        >>> from lightning.pytorch import LightningDataModule
        >>> issubclass(ImageFolder, LightningDataModule)  # ImageFolder("photos") reads photos/train/CLASS/IMAGE
        True
    """

    def _look(self) -> Tree:
        return folder_tree(self.root)
