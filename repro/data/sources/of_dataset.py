"""A torch `Dataset` of one's own, read into arrays once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from repro.data.loading.arrays import Arrays
from repro.data.module import ImageDataModule
from repro.errors import UserError


class OfDataset(ImageDataModule):
    """The images and labels of a torch `Dataset`, which is made twice: with ``train=True`` and with ``train=False``.

    Its items are an image and a label, a whole number from 0. An image is a PIL image, an array of uint8 (height,
    width, and channels if there are any) or a tensor (channels first), of uint8 or of whole 255ths in [0, 1], as
    torchvision's ``ToTensor`` gives them. All images are square and of one size.

    Args:
        make: Makes it: torchvision's own classes, for one. It gets ``root``, if it takes that.
        name: What it is called in messages.
        root: Folder of data.
        arguments: Further arguments of `make`.
        options: See `ImageDataModule`.

    Raises:
        UserError: It takes no ``train``, or its items are something else.
    """

    def __init__(
        self,
        make: Callable[..., Any],
        name: str,
        root: str | Path = "data",
        *,
        arguments: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(root, **options)
        accepted = inspect.signature(make).parameters
        if "train" not in accepted:
            raise UserError(f"'{name}' has no argument train; it must accept train=True and train=False")
        given = {**({"root": str(root)} if "root" in accepted else {}), **(arguments or {})}
        train, test = (_read(make(**given, train=train), name) for train in (True, False))
        self._arrays = Arrays(*train, *test)
        self.num_classes = 1 + max(int(labels.max(initial=0)) for labels in (train[1], test[1]))
        self.in_channels = train[0].shape[3] if train[0].ndim == 4 else 1
        self.image_size = train[0].shape[1]
        shares = np.zeros((self.in_channels, 256))
        for image in train[0].reshape(len(train[0]), -1, self.in_channels):  # one by one: bincount copies to int64
            shares += [np.bincount(channel, minlength=256) for channel in image.T]
        shares /= shares.sum(1, keepdims=True)
        means = shares @ _LEVELS
        self.mean = tuple(means.tolist())
        self.deviation = tuple(np.sqrt(np.maximum(shares @ _LEVELS**2 - means**2, 1e-12)).tolist())

    def load(self) -> Arrays:
        """What was read."""
        return self._arrays


_LEVELS = np.arange(256) / 255


def _read(dataset: Any, name: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    images, labels = [], []
    for number in range(len(dataset)):
        try:
            image, label = dataset[number]
            labels.append(int(label))
        except (TypeError, ValueError) as error:
            raise UserError(
                f"'{name}', item {number}, is not an image with a whole number as its label ({error})"
            ) from error
        images.append(_pixels(image, f"'{name}', item {number},"))
        if images[-1].shape != images[0].shape:
            raise UserError(
                f"'{name}', item {number}, is of shape {images[-1].shape}, the first of {images[0].shape}; allowed: "
                "images of one size"
            )
    if not images:
        raise UserError(f"'{name}' has no training images or no test images")
    return np.stack(images), np.array(labels, np.int64)


def _pixels(image: Any, where: str) -> npt.NDArray[np.uint8]:
    """An image as height, width and, if there are several, channels."""
    array = np.asarray(image)
    if isinstance(image, Tensor) and array.ndim == 3:
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if np.issubdtype(array.dtype, np.floating):
        levels = np.rint(255 * array)
        if np.abs(255 * array - levels).max(initial=0) < 1e-3 and levels.min(initial=0) >= 0 and levels.max() <= 255:
            array = levels.astype(np.uint8)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[0] != array.shape[1]:
        raise UserError(
            f"{where} is of {array.dtype} and shape {array.shape}; allowed: square images of uint8, or of whole 255ths "
            "in [0, 1], as they are before any normalisation"
        )
    return array
