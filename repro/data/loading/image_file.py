"""One image file as RGB, whatever its mode. Free of torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from repro.errors import UserError, no_pipe

FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")
"""What is opened, whatever a file is called: Pillow gives PostScript, which is a program, to Ghostscript to run."""
_SIXTEEN_BITS = ("PNG", "PPM")
"""Formats of which Pillow gives 16 bits as 32."""
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
"""What Pillow raises for files that it cannot read, by format."""


def open_rgb(path: Path, *, turned: bool = False) -> Image.Image:
    """The image in RGB, `turned` as its EXIF data say: grey, CMYK, palette and alpha alike, as `torchvision` does.

    `UserError` names a file that is missing, damaged, no image, or of pixels whose range is not known.
    """
    try:
        with Image.open(no_pipe(path), formats=FORMATS) as image:
            return _to_rgb(ImageOps.exif_transpose(image) if turned else image)
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
