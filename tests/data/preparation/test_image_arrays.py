from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from repro.data.loading.arrays import Arrays
from repro.data.preparation import image_arrays
from repro.errors import UserError


def picture(value: int, *, size: tuple[int, int] = (4, 4), mode: str = "RGB", kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(value).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    buffer = io.BytesIO()
    options = {"lossless": True} if kind == "WEBP" else {}
    Image.fromarray(pixels).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(value: int) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture(value))))


FILES = {
    f"{split}/{label}/{stem}": picture(value)
    for value, (split, label, stem) in enumerate(
        [
            *[("train", label, f"{label}-{number}.png") for label in ("cat", "dog") for number in range(3)],
            *[("test", label, "one.png") for label in ("cat", "dog")],
        ]
    )
}


def written(root: Path, files: dict[str, bytes], *, packed: bool) -> Path:
    if packed:
        with zipfile.ZipFile(root / "images.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return root / "images.zip"
    for name, content in files.items():
        path = root / "images" / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(content)
    return root / "images"


def read(root: Path, files: dict[str, bytes], *, packed: bool = False) -> tuple[Arrays, list[str]]:
    return image_arrays.read(written(root, files, packed=packed), classes=2, image_size=4)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("prefix", ["", "some/folder/"])
def test_trees_and_zips_give_every_image_with_its_class(tmp_path: Path, packed: bool, prefix: str) -> None:
    found, names = read(tmp_path, {prefix + name: content for name, content in FILES.items()}, packed=packed)
    assert names == ["cat", "dog"]
    shown = {(image.tobytes(), int(label)) for image, label in zip(found.train_images, found.train_labels, strict=True)}
    assert shown == {(pixels(value).tobytes(), value // 3) for value in range(6)}
    np.testing.assert_array_equal(np.sort(found.test_labels), [0, 1])


def test_without_an_order_it_is_shuffled_once_for_all(tmp_path: Path) -> None:
    files = {f"train/{label}/x{number}.png": picture(number) for label in ("cat", "dog") for number in range(40)}
    files |= {name: content for name, content in FILES.items() if name.startswith("test")}
    orders = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        orders.append(read(tmp_path / folder, files)[0].train_labels)
    np.testing.assert_array_equal(*orders)
    assert 10 < orders[0][:40].sum() < 30  # the first half is a fair sample


def test_files_named_by_number_come_in_that_order(tmp_path: Path) -> None:
    files = {
        f"train/{'cat' if value % 3 else 'dog'}/{value:05}.webp": picture(value, kind="WEBP") for value in range(7)
    }
    files |= {name.replace("test", "val"): each for name, each in FILES.items() if name.startswith("test")}
    found, _ = read(tmp_path, files)
    np.testing.assert_array_equal(found.train_images, [pixels(value) for value in range(7)])
    np.testing.assert_array_equal(found.train_labels, [1, 0, 0, 1, 0, 0, 1])


def test_mosaics_are_cut_row_by_row(tmp_path: Path) -> None:
    files = {
        f"{split}/{label}.png": picture(5, size=(12, 8)) for split in ("train", "test") for label in ("cat", "dog")
    }
    found, names = read(tmp_path, files)
    assert names == ["cat", "dog"]
    assert found.train_images.shape == (12, 4, 4, 3)
    whole = np.asarray(Image.open(io.BytesIO(files["train/cat.png"])))
    tiles = {
        whole[4 * row : 4 * row + 4, 4 * column : 4 * column + 4].tobytes() for row in (0, 1) for column in (0, 1, 2)
    }
    assert {image.tobytes() for image in found.test_images} == tiles


def without(*names: str) -> dict[str, bytes]:
    return {name: content for name, content in FILES.items() if not name.startswith(names)}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("files", "text"),
    [
        (without("test"), "has no images in test/CLASS/"),
        (without("test/dog"), "train and test have different classes: dog"),
        (without("train/dog", "test/dog"), "has 1 classes; expected 2"),
        (without("train/dog/") | {"train/dog/": b""}, "train and test have different classes: dog"),
        (FILES | {"train/cat/bad.png": b"no image"}, "train/cat/bad.png' is not a readable image"),
        (FILES | {"train/cat/cut.png": picture(0)[:50]}, "train/cat/cut.png' is not a readable image"),
        (FILES | {"train/cat/big.png": picture(0, size=(5, 4))}, "big.png' is 5 x 4 pixels; expected 4 x 4"),
        (FILES | {"train/cat/grey.png": picture(0, mode="L")}, "grey.png' has mode L; expected RGB"),
        (FILES | {"train/cat/alpha.png": picture(0, mode="RGBA")}, "alpha.png' has mode RGBA; expected RGB"),
        (FILES | {"test/cat.png": picture(0, size=(5, 4))}, "cat.png' is 5 x 4 pixels; expected a mosaic of 4 x 4"),
    ],
)
def test_what_is_no_data_set_is_refused_by_name(
    tmp_path: Path, files: dict[str, bytes], text: str, packed: bool
) -> None:
    with pytest.raises(UserError, match=text) as caught:
        read(tmp_path, files, packed=packed)
    assert "\n" not in str(caught.value)


def test_a_zip_that_is_none_is_cut_or_leads_outside_is_refused(tmp_path: Path) -> None:
    whole = written(tmp_path, FILES, packed=True)
    content = whole.read_bytes()
    for damaged in (b"", b"no zip", content[: len(content) // 2]):
        whole.write_bytes(damaged)
        with pytest.raises(UserError, match="cannot be read as a zip"):
            image_arrays.read(whole, classes=2, image_size=4)
    for name in ("../evil/train/cat/1.png", "/train/cat/1.png"):
        (tmp_path / "images.zip").unlink()
        outside = written(tmp_path, FILES | {name: picture(1)}, packed=True)
        with pytest.raises(UserError, match="which lies outside of it"):
            image_arrays.read(outside, classes=2, image_size=4)
    with pytest.raises(UserError, match="neither a folder nor a file"):
        image_arrays.read(tmp_path / "nowhere", classes=2, image_size=4)


def test_a_damaged_member_of_a_zip_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, FILES, packed=True)
    content = bytearray(path.read_bytes())
    place = content.index(FILES["train/dog/dog-1.png"])
    content[place + 60] ^= 255
    path.write_bytes(content)
    with pytest.raises(UserError, match="train/dog/dog-1.png' is not a readable image"):
        image_arrays.read(path, classes=2, image_size=4)
