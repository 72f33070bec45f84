"""Small images in a tree of class folders, or in a zip of one, as arrays.

``SPLIT/CLASS/FILE`` with the splits train and test (or val); or a mosaic for each class, ``SPLIT/CLASS.png``, whose
tiles are the class's images row by row. PNG, JPEG, WebP or BMP. Nothing is unpacked to disk.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from repro.data.loading.arrays import Arrays
from repro.data.loading.image_file import FORMATS
from repro.data.preparation.files import Pace, leads_outside
from repro.data.preparation.layout import places
from repro.errors import UserError, no_pipe

Files = Mapping[str, Callable[[], bytes]]
"""How to read each file, by its path with slashes; folders end in a slash."""


def read(source: Path, *, classes: int, image_size: int) -> tuple[Arrays, list[str]]:
    """The images of a tree or zip, and the names of the classes: their sorted names are the labels 0, 1, ...

    Where the files of a split are named by the numbers 0 to N - 1, that is their order. Otherwise there is no order to
    be had, and they come in one that is shuffled once for all, so that the first images are a fair sample. `UserError`
    names a class that is missing, empty or only in one split, and a file that is no image or of another size or mode.
    """
    files = _zip(source) if source.is_file() else _folder(source)
    place_of, left_out = places(files)
    images: defaultdict[str, dict[str, list[tuple[str, str]]]] = defaultdict(dict)
    for path, (part, label, name) in sorted(place_of.items()):
        members = images["train" if part == "train" else "test"].setdefault(label, [])
        members.append((name.rpartition(".")[0], path))
    left_out.note(len(place_of), source)
    for split in ("train", "test"):
        if not images[split]:
            raise UserError(f"'{source}' has no images in {split}/CLASS/ ({', '.join(sorted(files)[:3]) or 'empty'})")
    names = sorted(images["train"])
    if odd := sorted(set(names) ^ set(images["test"])):
        raise UserError(f"'{source}': train and test have different classes: {', '.join(odd[:5])} in one only")
    if len(names) != classes:
        raise UserError(f"'{source}' has {len(names)} classes; expected {classes}")
    pace = Pace(
        "images read", sum(len(members) for split in images.values() for members in split.values()), unit="files"
    )
    parts: list[npt.NDArray[np.uint8]] = []
    for split in ("train", "test"):
        parts += _arrays([images[split][label] for label in names], files, image_size, pace)
    return Arrays(*parts), names


def _zip(path: Path) -> Files:
    try:
        archive = zipfile.ZipFile(no_pipe(path))
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"'{path}' cannot be read as a zip: {error}") from error
    for name in archive.namelist():
        if leads_outside(name):
            raise UserError(f"'{path}' holds '{name}', which lies outside of it; not read")

    def reader(name: str) -> Callable[[], bytes]:
        return lambda: archive.read(name)

    return {name: reader(name) for name in archive.namelist()}


def _folder(path: Path) -> Files:
    if not path.is_dir():
        raise UserError(f"'{path}' is neither a folder nor a file")
    readers: dict[str, Callable[[], bytes]] = {}
    for folder, _, files in os.walk(path, followlinks=True):  # data are often links into a store
        inside = Path(folder).relative_to(path)
        for name in files:
            readers[(inside / name).as_posix()] = (Path(folder) / name).read_bytes
    return readers


def _arrays(
    classes: list[list[tuple[str, str]]], files: Files, size: int, pace: Pace
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    all_tiles, labels, stems = [], [], []
    for label, members in enumerate(classes):
        for stem, path in members:
            tiles = _tiles(path, files[path], size, mosaic=not stem)
            all_tiles.append(tiles)
            labels += [label] * len(tiles)
            stems.append(stem)
            pace.more(1)
    images, numbers = np.concatenate(all_tiles), np.array(labels, np.uint8)
    order = np.random.default_rng(0).permutation(len(images))
    if all(stem.isdecimal() for stem in stems):
        positions = np.array([int(stem) for stem in stems])
        if np.array_equal(np.sort(positions), np.arange(len(images))):
            order = np.argsort(positions)
    return images[order], numbers[order]


def _tiles(path: str, content: Callable[[], bytes], size: int, *, mosaic: bool) -> npt.NDArray[np.uint8]:
    """Images (N, size, size, 3): one of an ordinary file, many of a mosaic."""
    try:
        with Image.open(io.BytesIO(content()), formats=FORMATS) as image:
            mode, pixels = image.mode, np.asarray(image)
    except (OSError, ValueError, SyntaxError, zipfile.BadZipFile, UnidentifiedImageError) as error:
        raise UserError(f"'{path}' is not a readable image: {error}") from error
    if mode != "RGB":
        raise UserError(f"'{path}' has mode {mode}; expected RGB")
    height, width, channels = pixels.shape
    if mosaic and height % size == width % size == 0:
        tiles = pixels.reshape(height // size, size, width // size, size, channels).swapaxes(1, 2)
        return tiles.reshape(-1, size, size, channels)
    if (height, width) != (size, size):
        of = f"a mosaic of {size} x {size}" if mosaic else f"{size} x {size}"
        raise UserError(f"'{path}' is {width} x {height} pixels; expected {of}")
    return pixels[None]
