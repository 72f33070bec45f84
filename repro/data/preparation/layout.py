"""Where an image lies in a tree: the one reading of ``PART/CLASS/IMAGE``, for folders and zips alike. Free of torch.

What is no image of the tree is counted and named (`LeftOut`); hidden files are what systems leave and nobody misses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from repro.text import say

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""What counts as an image, as in torchvision.datasets.ImageFolder."""
PARTS = ("train", "val", "test")
MISNAMED = ("valid", "validation", "training", "testing", "dev", "eval")
"""Names that other data sets give to the folders of their parts."""
SUBFOLDERS, DEAD, OTHER, OUTSIDE = "in subfolders", "dead links", "other files", "outside of class folders"
_SHOWN = 3


class Place(NamedTuple):
    """Where an image belongs: part, class and file name."""

    part: str
    label: str
    name: str
    """Empty for a mosaic, ``PART/CLASS.png``: one image of all of a class's."""


@dataclass
class LeftOut:
    """Counts of the files in a tree that are not used as images."""

    counts: dict[str, int] = field(default_factory=dict)
    """How many files are left out, by the reason."""
    examples: list[str] = field(default_factory=list)

    def add(self, reason: str, *paths: str) -> None:
        """Count these paths as left out."""
        if paths:
            self.counts[reason] = self.counts.get(reason, 0) + len(paths)
            self.examples += paths[: _SHOWN - len(self.examples)]

    def join(self, others: Iterable[LeftOut]) -> None:
        """Add the counts of others."""
        for other in others:
            for reason, count in other.counts.items():
                self.counts[reason] = self.counts.get(reason, 0) + count
            self.examples += other.examples[: _SHOWN - len(self.examples)]

    def __bool__(self) -> bool:
        return bool(self.counts)

    def of(self, images: int) -> str:
        """``12,003 images of 12,010 files; left out: 4 in subfolders, 3 dead links: train/a/s/1.png, ...``."""
        total = sum(self.counts.values())
        why = ", ".join(f"{count:,} {reason}" for reason, count in self.counts.items())
        shown = ", ".join(self.examples) + (", ..." if total > len(self.examples) else "")
        return f"{images:,} images of {images + total:,} files; left out: {why}: {shown}"

    def note(self, images: int, source: object) -> None:
        """Say on stderr what is left out, if anything is."""
        if self:
            say(f"note: '{source}': {self.of(images)}")


def is_hidden(name: str) -> bool:
    """Whether a file or folder is one that systems leave: .DS_Store, ._x.jpg, .ipynb_checkpoints, __MACOSX."""
    return name.startswith(".") or name == "__MACOSX"


def is_image(name: str) -> bool:
    """Whether a file is an image, by its ending."""
    return name.lower().endswith(SUFFIXES)


def places(paths: Iterable[str]) -> tuple[dict[str, Place], LeftOut]:
    """The images among the files of a folder or an archive, by path with slashes, and what is none of them.

    The tree's top is the folder nearest to the outside that holds a part, in any case of letters.
    """
    split = [(path, path.split("/")) for path in paths if path and not path.endswith("/")]
    seen = [(path, names) for path, names in split if not any(map(is_hidden, names))]
    depths = [depth for _, names in seen for depth, name in enumerate(names[:-1]) if name.lower() in PARTS]
    depth = min(depths, default=0)
    top = next((names[:depth] for _, names in seen if len(names) > depth + 1 and names[depth].lower() in PARTS), [])
    place_of: dict[str, Place] = {}
    left = LeftOut()
    for path, names in seen:
        inside = len(names) > len(top) and names[: len(top)] == top
        place = _place(names[len(top) :]) if inside else OTHER
        if isinstance(place, Place):
            place_of[path] = place
        else:
            left.add(place, path)
    return place_of, left


def _place(names: Sequence[str]) -> Place | str:
    """Where a file below the tree's top is, or why it is none of its images."""
    if not is_image(names[-1]):
        return OTHER
    if len(names) < 2 or names[0].lower() not in PARTS:
        return misnamed(names[0]) if names[0].lower() in MISNAMED else OTHER
    if len(names) > 3:
        return SUBFOLDERS
    if len(names) == 2:
        return Place(names[0].lower(), names[1].rpartition(".")[0], "")
    return Place(names[0].lower(), names[1], names[2])


def misnamed(name: str) -> str:
    """Why what lies in a folder of another name is left out."""
    return f"in '{name}' (to use it, call it {', '.join(PARTS[:-1])} or {PARTS[-1]})"
