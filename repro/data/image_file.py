"""One image file as RGB, whatever its mode, and what is wrong with it. Free of torch."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, UnidentifiedImageError

from repro.errors import UserError

_TAIL = 64
"""Bytes at the end of a JPEG among which its end marker is looked for."""
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
"""What Pillow raises for files that it cannot read, by format."""


def open_rgb(path: Path) -> Image.Image:
    """The image, decoded and converted to RGB: grey, CMYK, palette and alpha alike, as `torchvision` does.

    Raises:
        UserError: The file is missing, damaged, or no image; names it.
    """
    try:
        with Image.open(path) as image:
            # A palette with transparent entries goes by RGBA, or Pillow warns; the colours are the same.
            whole = image.convert("RGBA") if "transparency" in image.info else image
            return whole.convert("RGB")
    except _BROKEN as error:
        raise UserError(_sentence(path, error)) from error


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
