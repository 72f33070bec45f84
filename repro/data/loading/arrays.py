"""A data set of small images as arrays: its parts, what must hold of them, and choices among its images. No torch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from repro.errors import UserError


class Arrays(NamedTuple):
    """Images (N, H, W) or (N, H, W, C) of uint8, and labels (N,)."""

    train_images: npt.NDArray[np.uint8]
    train_labels: npt.NDArray[np.integer]
    test_images: npt.NDArray[np.uint8]
    test_labels: npt.NDArray[np.integer]


def require(arrays: Arrays, name: str, *, classes: int, channels: int, image_size: int) -> None:
    """Refuse arrays that are not what a data set says of itself, naming the part."""
    wanted = (image_size, image_size, *((channels,) if channels > 1 else ()))
    for images, labels, part in (
        (arrays.train_images, arrays.train_labels, "training"),
        (arrays.test_images, arrays.test_labels, "test"),
    ):
        if images.shape[1:] != wanted or len(images) != len(labels) or images.dtype != np.uint8:
            raise UserError(
                f"{name}: {part} images have shape {images.shape} and kind {images.dtype} for "
                f"{len(labels)} labels; expected ({len(labels)}, {', '.join(map(str, wanted))}) of uint8"
            )
        if len(labels) and not (labels.min() >= 0 and labels.max() < classes):
            raise UserError(
                f"{name}: {part} labels lie in {labels.min()} to {labels.max()}; expected 0 to {classes - 1}"
            )


def balanced_choice(labels: npt.NDArray[np.integer], size: int, seed: int) -> npt.NDArray[np.intp]:
    """Indices of `size` samples with every class as often as the others (to within one), in rising order."""
    generator = np.random.default_rng(seed)
    classes = np.unique(labels)
    counts = np.full(len(classes), size // len(classes))
    counts[generator.permutation(len(classes))[: size % len(classes)]] += 1
    chosen = []
    for label, count in zip(classes, counts, strict=True):
        members = np.flatnonzero(labels == label)
        if len(members) < count:
            raise UserError(f"{size} class-balanced images need {count} of class {label}; there are {len(members)}")
        chosen.append(generator.permutation(members)[:count])
    return np.sort(np.concatenate(chosen))
