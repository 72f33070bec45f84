"""A torch `Dataset` of one's own becomes arrays, pixel for pixel, or is refused in a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset
from torchvision.transforms.functional import normalize, to_tensor

from repro.data import create_data
from repro.data.create import fingerprint
from repro.data.sources.of_dataset import OfDataset
from repro.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 5, 5, 3), dtype=np.uint8)
FORMS: dict[str, Any] = {
    "PIL": Image.fromarray,
    "array": lambda pixels: pixels,
    "uint8 tensor": lambda pixels: torch.from_numpy(pixels).permute(2, 0, 1),
    "ToTensor": to_tensor,
}


class Items(Dataset[Any]):
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> Any:
        return self.items[number]


def made(form: Any, labels: Any = (0, 2, 1, 0, 2, 1)) -> Any:
    def make(train: bool) -> Items:
        chosen = zip(PIXELS[: 6 if train else 4], labels, strict=False)
        return Items([(form(pixels), label) for pixels, label in chosen])

    return make


@pytest.mark.parametrize("form", FORMS)
def test_pixels_and_labels_are_those_of_the_items(form: str) -> None:
    data = OfDataset(made(FORMS[form]), "mine:Set", batch_size=2)
    assert (data.num_classes, data.in_channels, data.image_size) == (3, 3, 5)
    arrays = data.load()
    np.testing.assert_array_equal(arrays.train_images, PIXELS)
    np.testing.assert_array_equal(arrays.test_images, PIXELS[:4])
    assert arrays.train_labels.tolist() == [0, 2, 1, 0, 2, 1]
    np.testing.assert_allclose(data.mean, (PIXELS / 255).mean((0, 1, 2)))
    np.testing.assert_allclose(data.deviation, (PIXELS / 255).std((0, 1, 2)))
    data.setup("fit")
    images, labels = data.probe(6)
    assert images.shape == (6, 3, 5, 5)
    assert images.mean((0, 2, 3)).abs().max() < 1e-5, "standardised"
    assert labels.tolist() == [0, 2, 1, 0, 2, 1]


def test_grey_images_have_one_channel() -> None:
    data = OfDataset(made(lambda pixels: torch.from_numpy(pixels[..., 0])[None]), "mine:Set", batch_size=2)
    data.setup("fit")
    assert (data.in_channels, data.probe(2)[0].shape) == (1, (2, 1, 5, 5))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: None, "'mine:Set' has no argument train"),
        (
            made(lambda pixels: normalize(to_tensor(pixels), [0.5] * 3, [0.5] * 3)),
            "item 0, is of float32 .* allowed: sq",
        ),
        (made(lambda pixels: pixels.astype(np.int64)), "item 0, is of int64"),
        (made(lambda pixels: pixels[:4]), r"shape \(4, 5, 3\); allowed: square"),
        (
            made(lambda pixels: pixels[: pixels[0, 0, 0] % 3 + 1, : pixels[0, 0, 0] % 3 + 1]),
            "allowed: images of one size",
        ),
        (made(FORMS["PIL"], labels=["cat"] * 6), "item 0, is not an image with a whole number as its label"),
        (lambda train: Items([PIXELS[0]]), "item 0, is not an image with a whole number"),
        (lambda train: Items([]), "has no training images or no test images"),
    ],
)
def test_mistakes_are_told_in_a_line(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        OfDataset(make, "mine:Set")
    assert "\n" not in str(refused.value)


def test_by_import_path_with_root_and_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ofmine.py").write_text(
        "import torch\n"
        "from torch.utils.data import Dataset, TensorDataset\n"
        "class Mine(TensorDataset):\n"
        "    def __init__(self, root, train, side=4):\n"
        "        self.root = root\n"
        "        images = torch.arange(side * side, dtype=torch.uint8).view(1, side, side).repeat(8, 1, 1, 1)\n"
        "        super().__init__(images, torch.arange(8) % 2)\n"
        "def number(train) -> int: return 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    data = create_data("ofmine:Mine", root="there", batch_size=4, arguments={"side": 6})
    assert (data.image_size, data.num_classes) == (6, 2)
    prints = {fingerprint("ofmine:Mine", ".", {"side": side}) for side in (4, 6)}
    assert len(prints) == 2
    with pytest.raises(UserError, match=r"LightningDataModule or torch.utils.data.Dataset, or a function annotated"):
        create_data("ofmine:number")


def test_it_is_split_like_others() -> None:
    data = OfDataset(made(FORMS["PIL"]), "mine:Set", batch_size=2, validation_size=3, normalization="none")
    data.setup("fit")
    assert (data.samples("train"), data.samples("validation"), data.samples("test")) == (3, 3, 4)
