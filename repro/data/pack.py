"""Prepared data sets carried to a machine without network, in parts that any channel takes."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from repro.data import parts
from repro.data.files import alone, require_space
from repro.data.parts import LEAST, MANIFEST, Manifest
from repro.data.registry import DATASETS, dataset, fingerprint
from repro.errors import UserError, unknown
from repro.importing import load

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


def parse_size(text: str) -> int:
    """Bytes of a size such as ``55M``.

    Raises:
        UserError: It is no size, or smaller than `LEAST`.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kMG]?)B?", text.strip())
    size = int(float(match[1]) * _UNITS[match[2]]) if match else 0
    if size < LEAST:
        raise UserError(f"--max-size is '{text}'; allowed: {LEAST // 10**6}M or more, such as 55M, 2G or 55000000")
    return size


def pack(name: str, root: Path, out: Path, *, max_size: int) -> str:
    """Put a prepared data set into parts.

    Args:
        name: The data set, in any case.
        root: Folder of prepared data sets.
        out: Folder for the parts and their manifest: new, empty, or with the same parts.
        max_size: Bytes that a part may have.

    Returns:
        One line that says what was done.

    Raises:
        UserError: The data set is unknown, not prepared, damaged or not one that is carried, or `out` holds other files
            or cannot be written.
    """
    name = next(known for known, entry in DATASETS.items() if entry is dataset(name))
    files = _files(name)
    found = fingerprint(name, root)
    folder = root / name
    needed = sum((folder / file).stat().st_size for file in files)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if (there := _there(out, name, found, max_size)) is None:
            require_space(out / MANIFEST, needed, "--out")
            there = parts.write(folder, files, out, name, found, max_size=max_size)
            done = "is packed"
        else:
            done = "is packed already"
    except OSError as error:
        raise UserError(f"cannot write '{out}': {error.strerror or error}") from error
    packed = sum(part.size for part in there.parts)
    count = f"{len(there.parts)} part{'s' if len(there.parts) > 1 else ''}"
    return (
        f"{name} {done} in '{out}': {count} and {MANIFEST}, {packed / 1e6:.1f} MB for "
        f"{needed / 1e6:.1f}; on the other machine: repro data unpack {out.name or 'FOLDER'} --root DATA"
    )


def _files(name: str) -> Sequence[str]:
    entry = dataset(name)
    if entry.prepare is None:
        raise UserError(f"{name} comes with the package: there is nothing to carry")
    if entry.files is None:
        raise UserError(
            f"{name} is a folder of images, which is not packed; copy its archives or a zip of it, and there: "
            f"repro data prepare {name} --root DATA --from PATH"
        )
    names: Sequence[str] = load(entry.files)
    return names


def _there(out: Path, name: str, found: str, max_size: int) -> Manifest | None:
    """The parts that are there already. Without a manifest they are what a killed process left, and are removed."""
    held = {path.name for path in out.iterdir()}
    if strange := sorted(file for file in held if file != MANIFEST and not parts.is_part(file, name, found)):
        raise UserError(f"'{out}' is not empty: it holds {strange[0]}; give a new folder")
    if MANIFEST in held:
        there = Manifest.read(out)
        if (there.dataset, there.fingerprint) != (name, found) or max(each.size for each in there.parts) > max_size:
            raise UserError(f"'{out}' holds other parts already, of {there.dataset}; give a new folder")
        parts.check(out, there)
        return there
    for file in held:
        (out / file).unlink()
    return None


def unpack(folder: Path, root: Path) -> tuple[str, str]:
    """Put a data set in place from its parts, whole or not at all.

    Args:
        folder: Of the parts and their manifest.
        root: Folder of prepared data sets.

    Returns:
        The data set, and one line that says what was done.

    Raises:
        UserError: Parts are missing, damaged or foreign (names them), another data set of this name is there, or `root`
            cannot be written; nothing half-done stays.
    """
    if not folder.is_dir():
        raise UserError(f"'{folder}' is not a folder; give that of the parts of repro data pack")
    manifest = Manifest.read(folder)
    name = manifest.dataset
    if name not in DATASETS:
        raise unknown("dataset", name, DATASETS, extra=f"in '{folder / MANIFEST}'")
    if tuple(file.name for file in manifest.files) != tuple(_files(name)):
        raise UserError(f"'{folder / MANIFEST}' names other files than {name} has; pack it again")
    already = f"{name} is ready in '{root / name}' (was there already)"
    try:
        if _is_there(root, manifest):
            return name, already
        parts.check(folder, manifest)
        root.mkdir(parents=True, exist_ok=True)
        require_space(root / name, manifest.size, "--root")
        with alone(root / f".{name}.lock") as locked:
            if _is_there(root, manifest):
                return name, already
            _unpack(folder, root, manifest, tidy=locked)
    except OSError as error:
        raise UserError(f"cannot unpack '{folder}' into '{root}': {error.strerror or error}") from error
    return name, f"{name} is ready in '{root / name}' (from {len(manifest.parts)} parts)"


def _is_there(root: Path, manifest: Manifest) -> bool:
    """Whether these data are there already; `UserError` if something else is in their place."""
    place = root / manifest.dataset
    if not place.is_symlink() and (not place.exists() or (place.is_dir() and not any(place.iterdir()))):
        return False
    try:
        found = fingerprint(manifest.dataset, root)
    except UserError as error:
        found = f"not whole: {error}"
    if found != manifest.fingerprint:
        raise UserError(
            f"'{place}' holds something else than the parts (fingerprint {manifest.fingerprint}): {found}; remove it, "
            "or give another --root"
        )
    return True


def _unpack(folder: Path, root: Path, manifest: Manifest, *, tidy: bool) -> None:
    """Write under another name, check, then rename; `tidy` removes what killed processes have left of theirs."""
    name = manifest.dataset
    staging = root / f".{name}.unpacking-{os.getpid()}"
    for left in root.glob(f".{name}.unpacking-*") if tidy else ():
        shutil.rmtree(left, ignore_errors=True)
    try:
        (staging / name).mkdir(parents=True)
        parts.read(folder, manifest, staging / name)
        if (found := fingerprint(name, staging)) != manifest.fingerprint:
            raise UserError(f"the parts in '{folder}' are of fingerprint {found}, not {manifest.fingerprint}")
        try:
            (staging / name).rename(root / name)
        except OSError as error:  # without locks, another process may have been faster
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not _is_there(root, manifest):
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
