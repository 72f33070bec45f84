"""Image files decoded as training decodes them, to see what is wrong with any; a decoder's warning counts as damage."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from repro.data.loading.image_file import FORMATS
from repro.data.preparation.files import Pace
from repro.errors import UserError
from repro.machine import processors

_WORTH_A_PROCESS = 1_000  # files: it takes seconds to begin
_AT_ONCE = 64
_ORIENTATION = 0x0112


class Looked(NamedTuple):
    """What decoding an image file has shown."""

    fault: str = ""
    """What is wrong with the file; empty if nothing is."""
    turned: bool = False
    """Whether its EXIF data say that it is to be turned or mirrored."""


def look(path: Path) -> Looked:
    """Decode a file and report damage."""
    from repro.data.loading.decoding import decode

    with warnings.catch_warnings(record=True) as raised, _heard() as lines:
        warnings.simplefilter("always")
        try:
            decode(path)
        except UserError as error:
            return Looked(str(error))
    messages = [str(warning.message) for warning in raised if not issubclass(warning.category, _HARMLESS)] + lines
    if messages:
        return Looked(f"image '{path}' is damaged ({messages[0]}); replace or remove it")
    return Looked(turned=_is_turned(path))


def look_at_all(paths: Sequence[Path]) -> Iterator[Looked]:
    """Decode all files, in processes where they are many."""
    pace = Pace("images decoded", len(paths), unit="files")
    workers = min(processors(), len(paths) // _WORTH_A_PROCESS)
    if workers < 2:
        for path in paths:
            yield look(path)
            pace.more(1)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:  # torch has threads: no fork
        for looked in pool.map(look, paths, chunksize=_AT_ONCE):
            yield looked
            pace.more(1)


_HARMLESS = (Image.DecompressionBombWarning, DeprecationWarning)


@contextmanager
def _heard() -> Iterator[list[str]]:
    """The lines that libraries written in C print on stderr meanwhile: libjpeg warns there of what it had to guess."""
    lines: list[str] = []
    kept = os.dup(2)
    try:
        with tempfile.TemporaryFile() as file:
            os.dup2(file.fileno(), 2)
            try:
                yield lines
            finally:
                os.dup2(kept, 2)
                file.seek(0)
                lines += file.read().decode("utf-8", "replace").splitlines()
    finally:
        os.close(kept)


def _is_turned(path: Path) -> bool:
    try:
        with warnings.catch_warnings(), Image.open(path, formats=FORMATS) as image:
            warnings.simplefilter("ignore")  # of EXIF data that are damaged: the pixels are whole
            return bool(image.getexif().get(_ORIENTATION, 1) != 1)
    except Exception:  # whatever Pillow raises for them
        return False
