"""The data sets by name, and what is known of them before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from repro.errors import unknown
from repro.importing import load

TORCH = "torch.utils.data:Dataset"
OWN = ("lightning.pytorch:LightningDataModule", TORCH)
"""What a data set given by import path has to be, one of them."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set: its facts, and where its DataModule and its files' functions are.

    Adding one takes a file with a `LightningDataModule` (see `repro.data.module.ImageDataModule`) and an entry in
    `DATASETS`.
    """

    module: str
    """Import path of the DataModule."""
    classes: int
    channels: int
    image_size: int
    train: int
    """Number of training images."""
    test: int
    """Number of test images."""
    mean: tuple[float, ...]
    """Mean of the training pixels by channel, in [0, 1]."""
    deviation: tuple[float, ...]
    """Standard deviation of the training pixels by channel, in [0, 1]."""
    check: str | None = None
    """Import path of ``check(root) -> str``: the data's fingerprint; `UserError` if a file is missing or damaged. None
    for a set with a ``tree``, which has one."""
    prepare: str | None = None
    """Import path of ``prepare(root, source, download)``; None for a set that needs no preparing."""
    source: str | None = None
    """Import path of ``source(root) -> Source`` (`repro.data.preparation.cache`); None where only published files are
    read."""
    augmentations: tuple[str, ...] = ("none", "crop_flip")
    """The augmentations that its training images allow."""
    tree: str | None = None
    """For a set that is decoded from files, import path of ``tree(root)``, which counts them: the numbers above are
    those of the whole set, or 0 where there is no such thing."""
    verify: str | None = None
    """Import path of ``verify(root) -> str`` for a set whose fingerprint is not of every file's content."""

    @property
    def facts(self) -> tuple[int, int, int, tuple[float, ...], tuple[float, ...]]:
        """Classes, channels, image size, mean and deviation: what a DataModule says of itself."""
        return self.classes, self.channels, self.image_size, self.mean, self.deviation


DATASETS: dict[str, Dataset] = {
    "MNIST": Dataset(
        module="repro.data.sources.small:MNIST",
        classes=10,
        channels=1,
        image_size=28,
        train=60_000,
        test=10_000,
        mean=(0.13066047627384286,),
        deviation=(0.3081078038564627,),
        check="repro.data.sources.idx:check",
        prepare="repro.data.sources.idx:prepare",
    ),
    "MNIST5k": Dataset(
        module="repro.data.sources.small:MNIST5k",
        classes=10,
        channels=1,
        image_size=28,
        train=4_000,
        test=1_000,
        mean=(0.13107318427370948,),
        deviation=(0.3082812758360125,),
        check="repro.data.sources.mnist5k:check",
    ),
    "CIFAR10": Dataset(
        module="repro.data.sources.small:CIFAR10",
        classes=10,
        channels=3,
        image_size=32,
        train=50_000,
        test=10_000,
        mean=(0.49139967861519607, 0.48215840839460783, 0.44653091444546567),
        deviation=(0.24703223246328176, 0.24348512800005573, 0.26158784172796423),
        check="repro.data.sources.cifar:check_cifar10",
        prepare="repro.data.sources.cifar:prepare_cifar10",
        source="repro.data.sources.cifar:source_cifar10",
    ),
    "CIFAR100": Dataset(
        module="repro.data.sources.small:CIFAR100",
        classes=100,
        channels=3,
        image_size=32,
        train=50_000,
        test=10_000,
        mean=(0.50707516, 0.48654887, 0.44091784),
        deviation=(0.26733429, 0.25643846, 0.27615047),
        check="repro.data.sources.cifar:check_cifar100",
        prepare="repro.data.sources.cifar:prepare_cifar100",
        source="repro.data.sources.cifar:source_cifar100",
    ),
    "ImageNet": Dataset(
        module="repro.data.sources.folders:ImageNet",
        classes=1000,
        channels=3,
        image_size=224,
        train=1_281_167,
        test=50_000,
        mean=(0.485, 0.456, 0.406),  # torchvision's
        deviation=(0.229, 0.224, 0.225),
        prepare="repro.data.sources.imagenet:prepare_imagenet",
        augmentations=("none", "resized_crop_flip"),
        tree="repro.data.sources.imagenet:imagenet_tree",
        verify="repro.data.sources.imagenet:verify_imagenet",
    ),
    "ImageFolder": Dataset(
        module="repro.data.sources.folders:ImageFolder",
        classes=0,
        channels=3,
        image_size=224,
        train=0,
        test=0,
        mean=(0.485, 0.456, 0.406),
        deviation=(0.229, 0.224, 0.225),
        prepare="repro.data.sources.imagenet:prepare_folder",
        augmentations=("none", "resized_crop_flip"),
        tree="repro.data.sources.imagenet:folder_tree",
        verify="repro.data.sources.imagenet:verify_folder",
    ),
}


def dataset(name: str) -> Dataset:
    """A data set of this package by name, in upper or lower case; `UserError` names the nearest."""
    by_name = {key.lower(): key for key in DATASETS}
    if name.lower() not in by_name:
        raise unknown("dataset", name, DATASETS, extra="or your own by import path, package.module:Name")
    return DATASETS[by_name[name.lower()]]


def counted(name: str, root: str | Path) -> Dataset:
    """A data set of this package; if it is read from files, with the numbers of classes and images found on disk."""
    entry = dataset(name)
    if entry.tree is None:
        return entry
    tree = load(entry.tree)(Path(root))
    test = len(tree.parts["test"]) if "test" in tree.parts else 0
    return replace(entry, classes=len(tree.classes), train=len(tree.parts["train"]), test=test)


def provenance(name: str, root: str | Path) -> dict[str, Any]:
    """What a run records of its data: where they came from and whether the pixels are the published ones."""
    if ":" in name:
        return {"name": name}
    entry = dataset(name)
    if entry.source is None:
        return {"name": name, "published": True} if entry.tree is None else {"name": name}
    source = load(entry.source)(Path(root))
    return {"name": name, "source": source.name, "published": source.published}
