"""One image file as RGB, whatever its mode, and what is wrong with it. Free of torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from repro.errors import UserError

_TAIL = 64
"""Bytes at the end of a JPEG among which its end marker is looked for."""
_SIXTEEN_BITS = ("PNG", "PPM")
"""Formats of which Pillow gives 16 bits as 32."""
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
"""What Pillow raises for files that it cannot read, by format."""


def open_rgb(path: Path) -> Image.Image:
    """The image, decoded and converted to RGB: grey, CMYK, palette and alpha alike, as `torchvision` does.

    Raises:
        UserError: The file is missing, damaged, no image, or of pixels whose range is not known; names it.
    """
    try:
        with Image.open(path) as image:
            return _to_rgb(image)
    except _BROKEN as error:
        raise UserError(_sentence(path, error)) from error


def _to_rgb(image: Image.Image) -> Image.Image:
    """Pillow alone would cut 16 bits off at 255, which makes nearly everything white, and round [0, 1] to black."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in _SIXTEEN_BITS):
        values = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        kind = "32-bit integers" if image.mode == "I" else "floating-point numbers"
        raise ValueError(f"its pixels are {kind} of a range that is not known: convert it to 8 or 16 bits")
    # A palette with transparent entries goes by RGBA, or Pillow warns; the colours are the same.
    whole = image.convert("RGBA") if "transparency" in image.info else image
    return whole.convert("RGB")


def _sentence(path: Path, error: Exception) -> str:
    reason = str(error)
    if isinstance(error, UnidentifiedImageError):
        reason = "empty or in no known format"
    elif isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    return f"image '{path}' cannot be read ({reason}); replace or remove it; repro data check finds all such files"


def fault(path: Path) -> str | None:
    """What is wrong with a file, or None.

    A JPEG's header and end marker are looked at; it is decoded if the marker is missing, and so is any other format.
    """
    try:
        with Image.open(path) as image:
            doubtful = image.format != "JPEG"
        if not doubtful:
            with path.open("rb") as file:
                file.seek(max(path.stat().st_size - _TAIL, 0))
                doubtful = b"\xff\xd9" not in file.read()
        if doubtful:
            open_rgb(path)
    except UserError as error:
        return str(error)
    except _BROKEN as error:
        return _sentence(path, error)
    return None
