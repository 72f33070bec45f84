"""`repro data check` decodes every image; what a decoder warns of is damage."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from repro.data.loading import verify
from repro.data.loading.decoding import decode
from repro.data.loading.verify import Looked, look, look_at_all


def jpeg(**options: object) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, (64, 48, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


def zeroed(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(400) + content[middle + 400 :]


@pytest.mark.parametrize(
    "content",
    [zeroed(jpeg()), jpeg()[:2000] + b"\xff\xd9", jpeg()[:2000], jpeg()[:200], b"", b"hello"],
    ids=["middle zeroed", "cut, with an end mark", "cut", "a header", "empty", "text"],
)
def test_a_damaged_jpeg_is_found(content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """libjpeg guesses what is missing, and only prints that it does."""
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    assert str(path) in look(path).fault
    assert capfd.readouterr().err == ""


def test_a_whole_one_is_whole_and_its_orientation_known(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg())
    assert look(path) == Looked("", False)
    exif = Image.Exif()
    exif[0x0112] = 6
    path.write_bytes(jpeg(exif=exif))
    assert look(path) == Looked("", True)
    path.write_bytes(jpeg(exif=b"Exif\0\0damaged"))
    assert look(path) == Looked("", False)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_pixels_are_turned_as_exif_says_if_asked(orientation: int, ending: str, tmp_path: Path) -> None:
    path, exif = tmp_path / f"x.{ending}", Image.Exif()
    exif[0x0112] = orientation
    Image.open(io.BytesIO(jpeg())).save(path, exif=exif)
    with Image.open(path) as image:
        stored = np.asarray(image).transpose(2, 0, 1)
    assert np.array_equal(decode(path).numpy(), stored)
    # Orientation n as what to do with the rows and columns of what is stored (EXIF 2.3, section 4.6.4).
    across, down, swapped = {
        1: (1, 1, False), 2: (-1, 1, False), 3: (-1, -1, False), 4: (1, -1, False),
        5: (1, 1, True), 6: (-1, 1, True), 7: (-1, -1, True), 8: (1, -1, True),
    }[orientation]  # fmt: skip
    shown = (stored.transpose(0, 2, 1) if swapped else stored)[:, ::down, ::across]
    assert np.array_equal(decode(path, turned=True).numpy(), shown)


@pytest.mark.slow
def test_many_are_looked_at_by_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "_WORTH_A_PROCESS", 2)
    monkeypatch.setattr(verify, "processors", lambda: 2)
    for number in range(5):
        (tmp_path / f"{number}.jpg").write_bytes(zeroed(jpeg()) if number == 3 else jpeg())
    found = list(look_at_all(sorted(tmp_path.iterdir())))
    assert [bool(each.fault) for each in found] == [False, False, False, True, False]
