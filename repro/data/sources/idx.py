"""MNIST's idx files: read, checked against their md5, prepared from a download or a local copy."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from repro.data.preparation.files import fetch, md5
from repro.errors import UserError, refusing
from repro.records import replace_files
from repro.text import shell

# As torchvision.datasets.MNIST has them: mirrors, and md5 of the unpacked files.
MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")
FILES = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def folder(root: Path) -> Path:
    """Where the unpacked files are: the layout of torchvision, which can read them too."""
    return root / "MNIST" / "raw"


def read_bytes(root: Path, name: str) -> bytes:
    """The content of a prepared file; the error for a wrong md5 has both."""
    path = folder(root) / name
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"MNIST is not prepared: '{path}' is missing; run: repro data prepare mnist --root {shell(root)} "
            "--download (or --from DIR for a local copy)"
        ) from None
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}") from error
    if (digest := md5(content)) != FILES[name]:
        raise UserError(
            f"'{path}' is damaged: md5 expected {FILES[name]}, found {digest}; run repro data prepare mnist "
            f"--root {shell(root)} again"
        )
    return content


def parse(content: bytes, name: str) -> npt.NDArray[np.uint8]:
    """The array in an idx file of unsigned bytes: big-endian magic (0, 0, 8, dimensions), sizes, data."""
    dimensions = content[3] if content[:3] == b"\x00\x00\x08" and len(content) > 3 else 0
    start = 4 + 4 * dimensions
    shape = tuple(np.frombuffer(content[4:start], ">u4").tolist()) if len(content) >= start else ()
    if not shape or len(content) - start != np.prod(shape, dtype=np.int64):
        raise UserError(f"'{name}' is not an idx file of unsigned bytes, or is cut short")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def load(root: Path) -> dict[str, npt.NDArray[np.uint8]]:
    """The four arrays of MNIST by file name, checked: images (N, 28, 28) and labels (N,)."""
    return {name: parse(read_bytes(root, name), name) for name in FILES}


def check(root: Path) -> str:
    """Check all files; returns the fingerprint, which is the same wherever the files lie."""
    for name in FILES:
        read_bytes(root, name)
    return md5("".join(FILES.values()).encode())


def _candidates(source: Path, name: str) -> list[Path]:
    folders = (source, source / "raw", source / "MNIST" / "raw")
    names = (name, name.replace("-idx", ".idx"))  # as some archives spell it
    return [directory / f"{file}{ending}" for directory in folders for file in names for ending in ("", ".gz")]


def _local(source: Path, name: str) -> bytes:
    with refusing(f"cannot read '{source}'", "--from names a folder of MNIST's files"):
        for path in _candidates(source, name):
            if path.is_file():
                return _unpacked(path.read_bytes(), str(path))
        names = sorted(path.name for path in source.iterdir())
    shown = f"it has {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}" if names else "it is empty"
    zipped = "; unpack archives first" if any(file.endswith((".zip", ".tar")) for file in names) else ""
    raise UserError(f"'{source}' has no file {name} or {name}.gz (also not below raw/ or MNIST/raw/): {shown}{zipped}")


def _download(name: str) -> bytes:
    advice = f"fetch {name}.gz and the other three files elsewhere and use --from DIR"
    return _unpacked(fetch([f"{mirror}{name}.gz" for mirror in MIRRORS], advice), f"{name}.gz")


def _unpacked(content: bytes, where: str) -> bytes:
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"'{where}' is damaged: {error}") from error


def prepare(root: Path, source: Path | None, download: bool) -> str:
    """Put MNIST's unpacked files below `root`, from a local copy (raw or gzipped) or the network; says what was done.

    Files that are there and whole are kept. Each is checked before it is put in place, in one step.
    """
    target = folder(root)
    done = []
    for name, expected in FILES.items():
        path = target / name
        if path.is_file() and md5(path.read_bytes()) == expected:
            continue
        if source is None and not download:
            raise UserError(f"'{path}' is missing or damaged; add --from DIR for a local copy, or --download")
        content = _local(source, name) if source is not None else _download(name)
        if (digest := md5(content)) != expected:
            origin = source if source is not None else "the download"
            raise UserError(f"{name} from '{origin}' is damaged: md5 expected {expected}, found {digest}")
        with refusing(f"cannot write '{path}'"):
            target.mkdir(parents=True, exist_ok=True)
            replace_files({path: content})
        done.append(name)
    return f"MNIST is ready in '{target}'" + (f" (new: {', '.join(done)})" if done else " (was there already)")
