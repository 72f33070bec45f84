"""Image files whose pixels are not 8 bits: in proportion, or refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from repro.data.loading.image_file import open_rgb
from repro.data.loading.verify import look
from repro.data.preparation.image_arrays import _tiles
from repro.errors import UserError

RAMP = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)


@pytest.mark.parametrize("ending", ["png", "tiff", "pgm"])
@pytest.mark.parametrize("kind", [np.uint16, np.dtype(">u2")])
def test_16_bits_are_brought_to_8_in_proportion(ending: str, kind: np.dtype, tmp_path: Path) -> None:
    path = tmp_path / f"ramp.{ending}"
    image = Image.fromarray(RAMP.astype(kind))
    if ending == "pgm":
        path.write_bytes(b"P5 16 16 65535\n" + RAMP.astype(">u2").tobytes())
    else:
        image.save(path)
    found = np.asarray(open_rgb(path))
    assert found.shape == (16, 16, 3)
    wanted = np.arange(256).reshape(16, 16)
    assert np.abs(found.astype(int) - wanted[:, :, None]).max() == 0
    assert look(path) == ("", False)


@pytest.mark.parametrize(("kind", "words"), [(np.int32, "32-bit integers"), (np.float32, "floating-point")])
def test_pixels_of_an_unknown_range_are_refused(kind: type, words: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.tiff"
    Image.fromarray((RAMP / 65535).astype(kind)).save(path)
    with pytest.raises(UserError, match=f"odd.tiff.*{words}.*convert it to 8 or 16 bits"):
        open_rgb(path)
    assert words in look(path).fault


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_8_bit_modes_are_pillows(mode: str, tmp_path: Path) -> None:
    grey = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    path = tmp_path / "image.tiff"
    (grey.convert("RGB").convert(mode) if mode != "LA" else grey.convert("LA")).save(path)
    with Image.open(path) as image:
        wanted = np.asarray(image.convert("RGB"))
    assert np.array_equal(np.asarray(open_rgb(path)), wanted)


def test_a_colour_image_of_16_bits_keeps_its_brightness(tmp_path: Path) -> None:
    import zlib
    from struct import pack

    rows = b"".join(b"\0" + np.repeat(row.astype(">u2"), 3).tobytes() for row in RAMP)
    chunks = [(b"IHDR", pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path = tmp_path / "colour.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(pack(">I", len(body)) + kind + body + pack(">I", zlib.crc32(kind + body)) for kind, body in chunks)
    )
    found = np.asarray(open_rgb(path)).astype(int)
    assert np.abs(found - np.arange(256).reshape(16, 16, 1)).max() <= 1


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.tif"])
def test_what_is_a_program_is_not_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow gives PostScript to Ghostscript, by whatever name: an image is a stranger's."""
    ran: list[object] = []
    drawn = Image.new("RGB", (9, 9)).im
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *told, **_: ran.append(told) or drawn)
    (path := tmp_path / name).write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with Image.open(path) as image:
        image.load()
    assert len(ran) == 1, "Pillow alone does"
    with pytest.raises(UserError, match="in no known format"):
        open_rgb(path)
    with pytest.raises(UserError, match="not a readable image"):
        _tiles(name, path.read_bytes, 9, mosaic=False)
    assert look(path).fault
    assert len(ran) == 1
