"""Files as compressed parts of a limited size: each is an .xz file of its own, and a manifest says what they hold.

The parts hold one after the other what the files hold one after the other. Each is a row of xz streams of some MB,
which any tool for .xz files reads too.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from repro.data.files import PIECE, Pace, sha256
from repro.errors import UserError
from repro.records import replace_text

MANIFEST = "manifest.json"
FORMAT = 1
LEAST = 1_000_000
"""Bytes that a part may at least have."""
_BLOCK = 4_000_000  # bytes of content in a stream of their own
# What compresses photographs, whose neighbouring pixels are alike, and what compresses digits on black. Higher presets
# take 2 to 6 times as long for 5 to 9 % less.
_LZMA = {"id": lzma.FILTER_LZMA2, "preset": 0, "lc": 4, "pb": 0, "dict_size": _BLOCK}
_CHAINS: Sequence[list[dict[str, Any]]] = ([{"id": lzma.FILTER_DELTA, "dist": 3}, _LZMA], [_LZMA])


@dataclass(frozen=True, kw_only=True)
class Content:
    """One of the files that the parts hold."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Part:
    """One of the parts."""

    name: str
    size: int
    """Bytes of the part's file."""
    sha256: str
    """Of the part's file."""
    holds: int
    """Bytes of content."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a folder of parts holds."""

    dataset: str
    fingerprint: str
    """Of the prepared data set."""
    size: int
    """Bytes of all files."""
    sha256: str
    """Of all files, one after the other."""
    files: Sequence[Content]
    parts: Sequence[Part]

    def write(self, folder: Path) -> None:
        """Put it beside the parts, when they are all there."""
        content = {"format": FORMAT, **asdict(self)}
        replace_text(folder / MANIFEST, json.dumps({**content, "checksum": _checksum(content)}, indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of a folder of parts.

        Raises:
            UserError: It is missing, damaged, of another format, or does not agree with itself.
        """
        path = folder / MANIFEST
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found = content.pop("checksum")
            if _checksum(content) != found:
                raise UserError(f"'{path}' is damaged: its checksum is another; get it again")
            if (theirs := content.pop("format")) != FORMAT:
                raise UserError(f"'{path}' is of format {theirs}; this version reads {FORMAT}: pack it again")
            content["files"] = [Content(**each) for each in content["files"]]
            content["parts"] = [Part(**each) for each in content["parts"]]
            made = cls(**content)
            made._agree()
        except FileNotFoundError:
            raise UserError(f"'{path}' is missing; it comes with the parts of repro data pack") from None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"'{path}' is no manifest of repro data pack ({error}); get it again") from error
        return made

    def _agree(self) -> None:
        """Raise `ValueError` if sizes and names do not agree with each other."""
        sizes, held = [each.size for each in self.files], [each.holds for each in self.parts]
        if not sum(sizes) == sum(held) == self.size or min(*sizes, *held) < 0:
            raise ValueError("sizes that do not agree")
        if not re.fullmatch(r"\w+ [0-9a-f]{32,}", f"{self.dataset} {self.fingerprint}"):
            raise ValueError(f"fingerprint {self.fingerprint}")
        for number, part in enumerate(self.parts, 1):
            if part.name != part_name(self.dataset, self.fingerprint, number):
                raise ValueError(f"a part called {part.name}")


def part_name(dataset: str, fingerprint: str, number: int) -> str:
    """The file name of a part, from 1: tells of which data it is a part."""
    return f"{dataset}-{fingerprint[:8]}-{number:04}.xz"


def is_part(name: str, dataset: str, fingerprint: str) -> bool:
    """Whether a file's name is that of a part of these data, whole or half-written."""
    known = rf"\.?{re.escape(dataset)}-{re.escape(fingerprint[:8])}-\d{{4,}}\.xz(\.part)?"
    return re.fullmatch(known, name) is not None


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write(folder: Path, names: Sequence[str], out: Path, dataset: str, fingerprint: str, *, max_size: int) -> Manifest:
    """Write the parts of some files, and then their manifest.

    Args:
        folder: Where the files are.
        names: Their names, below it.
        out: Folder for the parts; it exists.
        dataset: The data set that they make up.
        fingerprint: Its fingerprint.
        max_size: Bytes that a part may have, at least `LEAST`.
    """
    paths = [folder / name for name in names]
    sizes = [path.stat().st_size for path in paths]
    chain = _best_chain(max(paths, key=lambda path: path.stat().st_size))
    hashes = [hashlib.sha256() for _ in names]
    whole = hashlib.sha256()
    pace = Pace(f"packing {dataset}", sum(sizes))
    block = min(_BLOCK, max_size * 9 // 10)  # what cannot be compressed grows by under 1 in 1,000
    parts: list[Part] = []
    held: list[bytes] = []
    holds = 0

    def close() -> None:
        name = part_name(dataset, fingerprint, len(parts) + 1)
        temporary = out / f".{name}.part"
        temporary.write_bytes(b"".join(held))
        parts.append(Part(name=name, size=temporary.stat().st_size, sha256=sha256(temporary), holds=holds))
        temporary.replace(out / name)

    for content in _blocks(paths, hashes, block):
        whole.update(content)
        packed = lzma.compress(content, format=lzma.FORMAT_XZ, filters=chain)
        if sum(map(len, held)) + len(packed) > max_size:
            close()
            held, holds = [], 0
        held.append(packed)
        holds += len(content)
        pace.more(len(content))
    close()
    files = [
        Content(name=name, size=size, sha256=each.hexdigest())
        for name, size, each in zip(names, sizes, hashes, strict=True)
    ]
    made = Manifest(
        dataset=dataset, fingerprint=fingerprint, size=pace.done, sha256=whole.hexdigest(), files=files, parts=parts
    )
    made.write(out)
    return made


def _best_chain(path: Path) -> list[dict[str, Any]]:
    """The filters that make the middle of a file smallest."""
    with path.open("rb") as file:
        file.seek(path.stat().st_size // 2)
        sample = file.read(PIECE)
    return min(_CHAINS, key=lambda chain: len(lzma.compress(sample, format=lzma.FORMAT_XZ, filters=chain)))


def _blocks(paths: Sequence[Path], hashes: Sequence[Any], size: int) -> Iterator[bytes]:
    """The content of all files in blocks; updates each file's hash."""
    block = bytearray()
    for path, each in zip(paths, hashes, strict=True):
        with path.open("rb") as file:
            while piece := file.read(min(PIECE, size - len(block))):
                each.update(piece)
                block += piece
                if len(block) == size:
                    yield bytes(block)
                    block.clear()
    if block:
        yield bytes(block)


def check(folder: Path, manifest: Manifest) -> None:
    """Hold the parts against the manifest.

    Raises:
        UserError: Names those that are missing, damaged, or parts of something else.
    """
    known = {part.name: part for part in manifest.parts}
    there = {path.name for path in folder.iterdir()}
    total = f"of the {len(known)} parts in '{folder}'"
    if foreign := sorted(name for name in there - known.keys() if name.endswith(".xz")):
        raise UserError(f"{_named(foreign)} in '{folder}' belong to something else than {MANIFEST}; move them away")
    if missing := sorted(known.keys() - there):
        raise UserError(f"{len(missing)} {total} are missing: {_named(missing)}; put them there, then the same again")
    pace = Pace(f"checking {manifest.dataset}", sum(part.size for part in manifest.parts))
    damaged = []
    for part in manifest.parts:
        path = folder / part.name
        if not path.is_file() or path.stat().st_size != part.size or sha256(path) != part.sha256:
            damaged.append(part.name)
        pace.more(part.size)
    if damaged:
        raise UserError(f"{len(damaged)} {total} are damaged: {_named(damaged)}; get them again, then the same again")


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def read(folder: Path, manifest: Manifest, target: Path) -> None:
    """Write the files that checked parts hold.

    Args:
        folder: Of the parts.
        manifest: Their manifest; its files' names are known to be good.
        target: Folder for the files; it exists.

    Raises:
        UserError: The parts do not hold what the manifest says.
    """
    pace = Pace(f"unpacking {manifest.dataset}", manifest.size)
    pieces = _pieces(folder, manifest.parts)
    rest = b""
    whole = hashlib.sha256()
    for file in manifest.files:
        path = target / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        found, left = hashlib.sha256(), file.size
        with path.open("xb") as opened:
            while left and (piece := rest or next(pieces, b"")):
                piece, rest = piece[:left], piece[left:]
                opened.write(piece)
                for each in (found, whole):
                    each.update(piece)
                left -= len(piece)
                pace.more(len(piece))
        if left or found.hexdigest() != file.sha256:
            raise UserError(f"the parts in '{folder}' hold another {file.name} than {MANIFEST} says; pack it again")
    if whole.hexdigest() != manifest.sha256:
        raise UserError(f"the parts in '{folder}' hold something else than {MANIFEST} says; pack it again")


def _pieces(folder: Path, parts: Iterable[Part]) -> Iterator[bytes]:
    for part in parts:
        left = part.holds
        with suppress(lzma.LZMAError, EOFError), lzma.open(folder / part.name) as file:
            while piece := file.read(PIECE):
                left -= len(piece)
                if left < 0:
                    break
                yield piece
        if left:
            raise UserError(f"'{folder / part.name}' does not hold what {MANIFEST} says; pack it again")
