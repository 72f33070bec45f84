"""Trees of images out of a folder, a zip, or ILSVRC's own archives. Nothing is written outside the target folder."""

from __future__ import annotations

import errno
import hashlib
import shutil
import sys
import tarfile
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from repro.data.preparation.files import leads_outside
from repro.data.preparation.layout import OUTSIDE, PARTS, places
from repro.data.preparation.tree import INDEX
from repro.errors import UserError, no_pipe, refusing

ARCHIVES = ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz")
_STAGING = ".unpacking"
_CHUNK = 1 << 22


class _Member(NamedTuple):
    """An image in an archive."""

    part: str
    label: str
    name: str
    size: int
    content: Any
    """A binary file, open for reading."""


def link(source: Path, target: Path) -> None:
    """Link a tree's parts into the target folder: nothing is copied."""
    for name in PARTS:
        if (source / name).is_dir() and not (target / name).exists():
            with refusing(f"cannot write '{target / name}'"):
                target.mkdir(parents=True, exist_ok=True)
                (target / name).symlink_to((source / name).resolve(), target_is_directory=True)


def remove(target: Path) -> None:
    """Remove a tree's parts from a folder, or the links to them; and the folder if nothing else is in it."""
    for name in PARTS:
        path = target / name
        if path.is_symlink():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
    (target / INDEX).unlink(missing_ok=True)
    _remove_if_empty(target)


def unpack_zip(source: Path, target: Path) -> None:
    """Unpack the images of a zip that holds ``train``, ``val`` or ``test``, at its top or in a folder of its own.

    `UserError` if it is damaged or holds no such tree, a member would lie outside, or the disk is full.
    """
    try:
        with zipfile.ZipFile(no_pipe(source)) as archive:
            needed = sum(info.file_size for info in archive.infolist())
            _unpack(_in_zip(archive, source), source, target, needed)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise UserError(f"'{source}' is damaged or not a zip ({error}); get it again") from error
    except RuntimeError as error:
        raise UserError(f"'{source}' cannot be unpacked ({error})") from error


def unpack_ilsvrc(source: Path, target: Path) -> None:
    """Unpack ILSVRC 2012's archives, their md5 checked: the training one without its inner archives on disk."""
    from torchvision.datasets.imagenet import ARCHIVE_META, load_meta_file, parse_devkit_archive

    md5 = dict(ARCHIVE_META.values())
    parts = dict(zip(("train", "val"), ARCHIVES, strict=False))
    wanted = {part: archive for part, archive in parts.items() if not (target / part).exists()}
    for name in [*([ARCHIVES[2]] if "val" in wanted else []), *wanted.values()]:
        _verify(source / name, md5[name])
    for part, name in wanted.items():
        path = source / name
        with tarfile.open(path) as archive:
            if part == "train":
                members = _in_train(archive, path)
            else:
                with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)  # how it unpacks differs by Python version
                    parse_devkit_archive(folder, file=str((source / ARCHIVES[2]).resolve()))
                    members = _in_val(archive, path, load_meta_file(folder)[1])
            _unpack(members, path, target, path.stat().st_size)


def _verify(path: Path, expected: str) -> None:
    try:
        print(f"checking md5 of {path} ({path.stat().st_size / 1e9:.1f} GB)", file=sys.stderr, flush=True)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except FileNotFoundError:
        raise UserError(f"'{path}' is missing; ImageNet needs {', '.join(ARCHIVES)} in one folder") from None
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}") from error
    if digest != expected:
        raise UserError(f"'{path}' is damaged or cut short: md5 expected {expected}, found {digest}; get it again")


def _outside(source: Path, name: str) -> UserError:
    return UserError(f"'{source}' holds '{name}', which would be written outside its folder; do not trust it")


def _in_zip(archive: zipfile.ZipFile, source: Path) -> Iterator[_Member]:
    members = {info.filename.replace("\\", "/"): info for info in archive.infolist()}
    for info in archive.infolist():
        if leads_outside(info.filename):
            raise _outside(source, info.filename)
    place_of, left_out = places(members)
    left_out.add(OUTSIDE, *(path for path, place in place_of.items() if not place.name))
    place_of = {path: place for path, place in place_of.items() if place.name}
    if not place_of:
        raise UserError(f"'{source}' holds no tree of images; expected train/CLASS/IMAGE and val/CLASS/IMAGE in it")
    if len(members) < len(archive.infolist()) or len(set(place_of.values())) < len(place_of):
        raise UserError(f"'{source}' has two files of the same name; remove one of them")
    left_out.note(len(place_of), source)
    for path, (part, label, name) in place_of.items():
        with archive.open(members[path]) as content:
            yield _Member(part, label, name, members[path].file_size, content)


def _files(archive: tarfile.TarFile, source: Path) -> Iterator[tarfile.TarInfo]:
    for info in archive:
        if info.isdir():
            continue
        if not info.isfile() or "/" in info.name.removeprefix("./") or info.name in ("..", ""):
            raise _outside(source, info.name)
        yield info


def _opened(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Any:
    content = archive.extractfile(info)
    assert content is not None
    return content


def _in_train(archive: tarfile.TarFile, source: Path) -> Iterator[_Member]:
    for outer in _files(archive, source):
        with tarfile.open(fileobj=_opened(archive, outer)) as inner:
            for info in _files(inner, source):
                yield _Member("train", Path(outer.name).stem, Path(info.name).name, info.size, _opened(inner, info))


def _in_val(archive: tarfile.TarFile, source: Path, labels: list[str]) -> Iterator[_Member]:
    members = sorted(_files(archive, source), key=lambda info: info.name)
    if len(members) != len(labels):
        raise UserError(f"'{source}' holds {len(members)} images; its labels are {len(labels)}")
    for info, label in zip(members, labels, strict=True):
        yield _Member("val", label, Path(info.name).name, info.size, _opened(archive, info))


def _unpack(members: Iterator[_Member], source: Path, target: Path, needed: int) -> None:
    """Write the members below a staging folder, then put whole parts in place; done again, it goes on."""
    staging = target / _STAGING
    _require_space(source, staging, needed)
    try:
        for member in members:
            path = staging / member.part / member.label / member.name
            if path.exists() and path.stat().st_size == member.size:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with (partial := path.with_name(f".{path.name}.part")).open("wb") as file:
                shutil.copyfileobj(member.content, file, _CHUNK)
            partial.replace(path)
        for name in PARTS:
            if (staging / name).is_dir() and not (target / name).exists():
                (staging / name).replace(target / name)
        shutil.rmtree(staging)
    except tarfile.TarError as error:
        raise UserError(f"'{source}' is damaged ({error}); get it again") from error
    except OSError as error:
        full = "free some space: " if error.errno == errno.ENOSPC else ""
        reason = f"{error.strerror or error}; {full}the same command continues"
        raise UserError(f"cannot unpack '{source}' into '{target}': {reason}") from error
    except UserError:
        shutil.rmtree(staging)
        _remove_if_empty(target)
        raise


def _require_space(source: Path, staging: Path, needed: int) -> None:
    with refusing(f"cannot write '{staging.parent}'"):
        staging.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(staging).free + sum(path.stat().st_size for path in staging.rglob("*"))
    if needed > free:
        _remove_if_empty(staging)
        sizes = f"{needed / 1e9:.2f} GB in '{staging.parent}', where {free / 1e9:.2f} are free"
        raise UserError(f"no space left: '{source}' takes {sizes}; take another --root")


def _remove_if_empty(path: Path) -> None:
    """Leave no folder behind where nothing was unpacked."""
    for folder in (path, path.parent):
        with suppress(OSError):
            folder.rmdir()
