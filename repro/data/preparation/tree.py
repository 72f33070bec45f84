"""Folders of images, one folder a class: scanned once, kept in an index, fingerprinted. Free of torch.

A tree is ``FOLDER/train/CLASS/IMAGE`` and ``FOLDER/val/CLASS/IMAGE`` (or ``test``). The fingerprint is of the sorted
relative paths and sizes, not of the contents, which are 150 GB for ImageNet.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from repro.data.preparation.layout import (
    DEAD,
    MISNAMED,
    OTHER,
    OUTSIDE,
    PARTS,
    SUBFOLDERS,
    SUFFIXES,
    LeftOut,
    is_hidden,
    is_image,
    misnamed,
)
from repro.errors import UserError, refusing
from repro.records.files import replace_text
from repro.text import say

INDEX = ".index.json"
_VERSION = 2
_THREADS = 16  # a listing waits for the file system, not for the processor


class _ClassFolder(NamedTuple):
    modified: int
    """Time of the folder's last change in ns: when a file was added, removed or renamed."""
    names: tuple[str, ...]
    """Image files, sorted."""
    digest: str
    """Digest of the files' names and sizes; empty for an entry of the index, which has the tree's."""
    left_out: LeftOut = LeftOut()


@dataclass(frozen=True)
class Part:
    """The training, validation or test images."""

    folder: Path
    classes: Mapping[str, tuple[str, ...]]
    """Class to its sorted image files, classes in alphabetical order."""

    def __len__(self) -> int:
        return sum(len(names) for names in self.classes.values())


@dataclass(frozen=True)
class Tree:
    """A tree of images whose files have been listed."""

    folder: Path
    parts: Mapping[str, Part]
    """``train`` and, as far as there are such folders, ``validation`` and ``test``."""
    fingerprint: str
    left_out: LeftOut = field(default_factory=LeftOut)

    @property
    def classes(self) -> list[str]:
        """The classes in alphabetical order, which is that of their numbers."""
        return list(self.parts["train"].classes)

    def __str__(self) -> str:
        counts = " + ".join(f"{len(part):,} {name}" for name, part in self.parts.items())
        alone = "; nothing is held out: its accuracy is that of the images it trains on"
        left = f"; {self.left_out.of(sum(map(len, self.parts.values())))}" if self.left_out else ""
        return f"{counts} images, {len(self.classes):,} classes{'' if len(self.parts) > 1 else alone}{left}"


def read(folder: Path, *, missing: str, anew: bool = False) -> Tree:
    """The tree in a folder: from its index if no folder has changed since, else by listing every file.

    It holds ``train`` and ``val`` or ``test``. One of them alone is a training part with nothing held out; of all
    three, ``val`` is the validation part. `anew` lists every file, whatever the index says: what lies beside the images
    changes without it. `UserError` where a folder is missing (`missing` says what to do), a class has no image, or the
    classes of the parts differ.
    """
    present = [name for name in PARTS if (folder / name).is_dir()]
    if not present or (len(present) > 1 and "train" not in present):
        lacking = "train" if present else f"{', '.join(PARTS[:-1])} or {PARTS[-1]}"
        raise UserError(f"'{folder}' has no folder {lacking}; {missing}")
    index = None if anew else _from_index(folder, present)
    if index is None:
        left_out = beside(folder)
        listed = {name: _list(folder / name, left_out) for name in present}
        fingerprint = _fingerprint(listed)
        _write_index(folder, listed, fingerprint, left_out)
        index = {name: classes for name, (_, classes) in listed.items()}, fingerprint, left_out
        if not anew:
            images = sum(len(entry.names) for _, classes in listed.values() for entry in classes.values())
            left_out.note(images, folder)
    folders, fingerprint, left_out = index
    parts = {
        role: Part(folder / name, {label: entry.names for label, entry in folders[name].items()})
        for role, name in _roles(present).items()
    }
    _check(parts)
    return Tree(folder, parts, fingerprint, left_out)


def _roles(present: list[str]) -> dict[str, str]:
    if len(present) == 3:
        return {"train": "train", "validation": "val", "test": "test"}
    return dict(zip(("train", "test"), present, strict=False))


def beside(folder: Path) -> LeftOut:
    """Images in folders beside the parts that others call their parts."""
    left_out = LeftOut()
    for entry in _scan(folder):
        if entry.name.lower() in MISNAMED and entry.is_dir():
            left_out.add(misnamed(entry.name), *_images_below(Path(entry)))
    return left_out


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    with refusing(f"cannot read folder '{folder}'"), os.scandir(folder) as entries:
        return [entry for entry in entries if not is_hidden(entry.name)]


def _images_below(folder: Path) -> list[str]:
    return [
        str(Path(directory, name))
        for directory, _, names in os.walk(folder)
        for name in sorted(names)
        if is_image(name) and not is_hidden(name)
    ]


def _why_left_out(entry: os.DirEntry[str], otherwise: str) -> LeftOut:
    """Count what is no image of a class: a file, or all images below a folder."""
    left_out = LeftOut()
    if entry.is_dir():
        left_out.add(SUBFOLDERS, *_images_below(Path(entry)))
    else:
        dead = entry.is_symlink() and not entry.is_file()
        left_out.add(DEAD if dead else otherwise if is_image(entry.name) else OTHER, entry.path)
    return left_out


def _list_class(folder: Path) -> _ClassFolder:
    left_out = LeftOut()
    sizes = {}
    with refusing(f"cannot read folder '{folder}'"):
        modified = folder.stat().st_mtime_ns  # before the listing, so that a later change shows
        for entry in _scan(folder):
            if is_image(entry.name) and entry.is_file():
                sizes[entry.name] = entry.stat().st_size
            else:
                left_out.join([_why_left_out(entry, OTHER)])
    names = tuple(sorted(sizes))
    digest = hashlib.sha256("".join(f"{name}/{sizes[name]}\n" for name in names).encode("utf-8", "surrogateescape"))
    return _ClassFolder(modified, names, digest.hexdigest(), left_out)


def _list(folder: Path, left_out: LeftOut) -> tuple[int, dict[str, _ClassFolder]]:
    modified = folder.stat().st_mtime_ns
    entries = _scan(folder)
    names = sorted(entry.name for entry in entries if entry.is_dir())
    if not names:
        raise UserError(f"'{folder}' has no class folders; it should hold one folder of images for each class")
    left_out.join(_why_left_out(entry, OUTSIDE) for entry in entries if not entry.is_dir())
    with ThreadPoolExecutor(_THREADS) as pool:
        classes = dict(zip(names, pool.map(lambda name: _list_class(folder / name), names), strict=True))
    left_out.join(class_folder.left_out for class_folder in classes.values())
    return modified, classes


def _fingerprint(listed: Mapping[str, tuple[int, Mapping[str, _ClassFolder]]]) -> str:
    lines = [
        f"{part}/{label}/{entry.digest}\n" for part, (_, classes) in listed.items() for label, entry in classes.items()
    ]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _check(parts: Mapping[str, Part]) -> None:
    for part in parts.values():
        if empty := [label for label, names in part.classes.items() if not names]:
            more = f" (and {len(empty) - 1} more)" if len(empty) > 1 else ""
            raise UserError(
                f"class folder '{part.folder / empty[0]}'{more} has no image ({', '.join(SUFFIXES)}); add some or "
                "remove the folder"
            )
    train = parts["train"]
    for part in list(parts.values())[1:]:
        for one, other in ((train, part), (part, train)):
            if lacking := sorted(set(other.classes) - set(one.classes)):
                shown = ", ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")
                raise UserError(
                    f"'{one.folder}' lacks class {shown}, which '{other.folder}' has; both need the same class folders"
                )


def _from_index(folder: Path, present: list[str]) -> tuple[dict[str, dict[str, _ClassFolder]], str, LeftOut] | None:
    """What the index says, or None if there is none, or a folder has changed since it was written."""
    try:
        content = json.loads((folder / INDEX).read_text(encoding="utf-8", errors="surrogateescape"))
        if content["version"] != _VERSION or sorted(content["folders"]) != sorted(present):
            return None
        folders = {name: _unchanged(folder / name, content["folders"][name]) for name in present}
        return folders, str(content["fingerprint"]), LeftOut(**content["left_out"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _unchanged(folder: Path, entry: dict[str, Any]) -> dict[str, _ClassFolder]:
    """The class folders of an index entry; ValueError if one has changed."""
    classes = {}
    if folder.stat().st_mtime_ns != entry["modified"]:
        raise ValueError(folder)
    with ThreadPoolExecutor(_THREADS) as pool:
        times = pool.map(lambda label: (folder / label).stat().st_mtime_ns, entry["classes"])
        for (label, (modified, names)), now in zip(entry["classes"].items(), times, strict=True):
            if modified != now:
                raise ValueError(label)
            classes[label] = _ClassFolder(modified, tuple(names.split("/")) if names else (), "")
    return classes


def _write_index(
    folder: Path, listed: Mapping[str, tuple[int, Mapping[str, _ClassFolder]]], fingerprint: str, left_out: LeftOut
) -> None:
    # File names cannot hold a slash; one text a class is read back ten times as fast as a list.
    folders = {
        part: {
            "modified": modified,
            "classes": {label: [entry.modified, "/".join(entry.names)] for label, entry in classes.items()},
        }
        for part, (modified, classes) in listed.items()
    }
    try:
        content = {"version": _VERSION, "fingerprint": fingerprint, "left_out": asdict(left_out), "folders": folders}
        replace_text(folder / INDEX, json.dumps(content))
    except OSError as error:
        note = f"cannot keep an index in '{folder}' ({error.strerror}): every start lists all files"
        say(f"note: {note}")
