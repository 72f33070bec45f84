"""Prepared data sets: a folder with the arrays as .npy files and what is known of them, made whole or not at all.

``ROOT/NAME/`` holds the four arrays of `Arrays` and ``cache.json`` (format, source, classes, sha256 of each file). The
folder is written under another name, then renamed, so nobody ever sees half of one; it is never changed afterwards. All
processes of a machine that map it share its memory.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from repro.data.loading.arrays import Arrays
from repro.data.preparation.files import alone, require_space, sha256
from repro.errors import UserError, refusing
from repro.text import shell

FORMAT = 1
_DESCRIPTION = "cache.json"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a prepared data set came from."""

    name: str
    """Name of the archive or folder, without its path."""
    published: bool
    """Whether the pixels were checked to be the published ones."""
    classes: list[str]
    """Names of the classes in the order of the labels."""


def _file(part: str) -> str:
    return f"{part}.npy"


Make = Callable[[], tuple[Arrays, Source]]


def prepare(root: Path, name: str, find: Callable[[], Make]) -> str:
    """Make the cache of a data set unless it is there and whole; one of several processes does it, the others wait.

    `find` finds the source, before anything is written, and returns what reads it. Returns a line that says what was
    done; if it fails, nothing half-done stays.
    """
    folder = root / name
    ready = f"{name} is ready in '{folder}'"
    if _is_whole(root, name):
        return f"{ready} (was there already)"
    make = find()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with alone(root / f".{name}.lock") as locked:
            if _is_whole(root, name):
                return f"{ready} (by another process)"
            arrays, source = make()
            _write(folder, arrays, source, tidy=locked)
    except OSError as error:
        raise UserError(f"cannot write '{folder}': {error.strerror or error}") from error
    exact = "" if source.published else "; not known to be the published pixels, and labelled so in every record"
    return f"{ready} (from {source.name}{exact})"


def check(root: Path, name: str) -> str:
    """Check a prepared data set against its checksums; returns its fingerprint, the same for equal data."""
    description = _description(root, name)
    for file, expected in description["files"].items():
        path = root / name / file
        with refusing(f"cannot read '{path}'", _again(root, name)):
            digest = sha256(path)
        if digest != expected:
            raise UserError(f"'{path}' is damaged: sha256 expected {expected}, found {digest}; {_again(root, name)}")
    return hashlib.sha256(json.dumps(description["files"], sort_keys=True).encode()).hexdigest()


def source(root: Path, name: str) -> Source:
    """Where the prepared data came from."""
    return Source(**_description(root, name)["source"])


def load(root: Path, name: str) -> Arrays:
    """The arrays, mapped from their files (copy on write)."""
    _description(root, name)
    try:
        return Arrays(*(np.load(root / name / _file(part), mmap_mode="c") for part in Arrays._fields))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read '{root / name}': {error}; {_again(root, name)}") from error


def _again(root: Path, name: str) -> str:
    return f"remove '{root / name}' and run: repro data prepare {name} --root {shell(root)} --from PATH (or --download)"


def _description(root: Path, name: str) -> dict[str, Any]:
    path = root / name / _DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{name} is not prepared: '{path}' is missing; run: repro data prepare {name} --root {shell(root)} "
            "--from PATH for a local copy (or --download)"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"'{path}' cannot be read ({error}); {_again(root, name)}") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise UserError(f"'{path}' is not of format {FORMAT}; {_again(root, name)}")
    return description


def _is_whole(root: Path, name: str) -> bool:
    try:
        check(root, name)
    except UserError:
        return False
    return True


def _write(folder: Path, arrays: Arrays, source: Source, *, tidy: bool) -> None:
    """Write the folder under another name, then rename it; `tidy` removes what killed processes have left of theirs."""
    require_space(folder, sum(array.nbytes for array in arrays), "--root")
    part = folder.with_name(f".{folder.name}.part-{os.getpid()}")
    for left in folder.parent.glob(f".{folder.name}.part-*") if tidy else ():
        shutil.rmtree(left, ignore_errors=True)
    try:
        part.mkdir()
        files = {}
        for field, array in arrays._asdict().items():
            path = part / _file(field)
            np.save(path, np.ascontiguousarray(array))
            files[path.name] = sha256(path)
        description = {"format": FORMAT, "source": asdict(source), "files": files}
        (part / _DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
        if folder.exists() and not _is_whole(folder.parent, folder.name):
            damaged = part.with_name(f"{part.name}-damaged")
            folder.rename(damaged)
            shutil.rmtree(damaged)
        try:
            part.rename(folder)
        except OSError as error:  # without locks, another process may have been faster
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
