from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from repro.data import DATASETS, create_data, fingerprint, provenance
from repro.data.loading.arrays import Arrays, balanced_choice
from repro.data.module import ImageDataModule
from repro.errors import UserError


class Tiny(ImageDataModule):
    num_classes, in_channels, image_size = 3, 1, 4
    mean, deviation = (0.5,), (0.5,)
    arrays = Arrays(
        np.random.default_rng(0).integers(0, 256, (30, 4, 4)).astype(np.uint8),
        np.arange(30) % 3,
        np.zeros((6, 4, 4), np.uint8),
        np.arange(6) % 3,
    )

    def load(self) -> Arrays:
        return self.arrays


def refused(data: ImageDataModule) -> str:
    with pytest.raises(UserError) as caught:
        data.setup()
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        name if name == "MNIST5k" else pytest.param(name, marks=pytest.mark.slow)
        for name, entry in DATASETS.items()
        if entry.tree is None
    ],
)
def test_every_data_set_is_as_its_entry_says(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    entry = DATASETS[name]
    root = tmp_path
    if name == "MNIST":
        from repro.data.sources import idx

        idx.prepare(tmp_path, request.getfixturevalue("mnist_files"), False)
    if "CIFAR" in name:
        root = request.getfixturevalue("cifar_root")
    data = create_data(name.lower(), root=root)
    assert (data.num_classes, data.in_channels, data.image_size) == (entry.classes, entry.channels, entry.image_size)
    data.setup()
    assert (data.samples("train"), data.samples("test")) == (entry.train, entry.test)
    images, labels = data.batches("train").images.double() / 255, data.batches("train").labels
    assert sorted(labels.unique().tolist()) == list(range(entry.classes))
    exact = provenance(name, root)["published"]
    assert data.mean == pytest.approx(images.mean((0, 2, 3)).tolist(), rel=2e-9 if exact else 2e-3)
    assert data.deviation == pytest.approx(images.std((0, 2, 3), correction=0).tolist(), rel=2e-9 if exact else 2e-3)
    assert fingerprint(name, root) == fingerprint(name.lower(), root)


def test_splits_are_balanced_disjoint_and_fixed() -> None:
    data = Tiny(batch_size=4, validation_size=6, train_size=12)
    data.setup()
    assert (data.samples("train"), data.samples("validation"), data.samples("test")) == (12, 6, 6)
    assert data.evaluated == ["validation", "test"]
    train, validation = data.batches("train"), data.batches("validation")
    assert torch.bincount(train.labels).tolist() == [4, 4, 4]
    assert torch.bincount(validation.labels).tolist() == [2, 2, 2]
    shown = {image.numpy().tobytes() for image in train.images}
    assert not shown & {image.numpy().tobytes() for image in validation.images}
    again = Tiny(batch_size=4, validation_size=6, train_size=12, seed=9)
    again.setup()
    assert torch.equal(again.batches("train").images, train.images)


def test_the_test_images_can_be_fewer() -> None:
    data = Tiny(batch_size=4, test_size=3)
    data.setup()
    assert (data.samples("train"), data.samples("test")) == (30, 3)
    assert sorted(data.batches("test").labels.tolist()) == [0, 1, 2]
    first = Tiny(batch_size=4, test_size=2, split="first")
    first.setup()
    assert first.batches("test").labels.tolist() == [0, 1]


def test_images_can_be_drawn_without_balancing_classes() -> None:
    drawn = []
    for seed in (0, 0, 1):
        data = Tiny(batch_size=4, validation_size=6, train_size=12, split="random", split_seed=seed)
        data.setup()
        drawn.append(data.batches("train").labels.tolist())
        held_out = {image.numpy().tobytes() for image in data.batches("validation").images}
        assert not held_out & {image.numpy().tobytes() for image in data.batches("train").images}
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(np.bincount(drawn[0]))) > 1


def test_raw_pixels_are_from_0_to_255() -> None:
    probes = {}
    for normalization in ("none", "raw"):
        data = Tiny(batch_size=4, normalization=normalization)
        data.setup()
        probes[normalization] = data.probe(4)[0]
    torch.testing.assert_close(probes["raw"], 255 * probes["none"])
    assert torch.equal(probes["raw"], probes["raw"].round())


def test_the_first_images_of_the_files_can_be_set_aside() -> None:
    data = Tiny(batch_size=4, validation_size=6, train_size=20, split="first")
    data.setup()
    train, validation = data.batches("train").images[:, 0].numpy(), data.batches("validation").images[:, 0].numpy()
    np.testing.assert_array_equal(validation, Tiny.arrays.train_images[:6])
    np.testing.assert_array_equal(train, Tiny.arrays.train_images[6:26])


def test_the_probe_is_the_first_training_images_whatever_the_seed() -> None:
    probes = []
    for seed in (0, 1):
        data = Tiny(batch_size=4, seed=seed, augmentation="crop_flip")
        data.setup()
        probes.append(data.probe(5))
    assert torch.equal(probes[0][0], probes[1][0])
    assert probes[0][1].tolist() == [0, 1, 2, 0, 1]
    assert probes[0][0][4, 0, 2, 3] == pytest.approx((Tiny.arrays.train_images[4, 2, 3] / 255 - 0.5) / 0.5, rel=1e-5)


def test_choosing_more_of_a_class_than_there_is_is_refused() -> None:
    with pytest.raises(UserError, match="need 2 of class 1; there are 1"):
        balanced_choice(np.array([0, 0, 1]), 4, 0)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"batch_size": 31}, "data.batch_size is 31; allowed, as for measure.probe_size: up to the 30"),
        ({"train_size": 31}, "data.train_size is 31; there are 30"),
        ({"batch_size": 4, "test_size": 7}, "data.test_size is 7; there are 6"),
    ],
)
def test_sizes_beyond_the_data_are_refused(options: dict[str, int], text: str) -> None:
    assert text in refused(Tiny(**options))


def test_a_probe_beyond_the_data_is_refused() -> None:
    data = Tiny(batch_size=4)
    data.setup()
    with pytest.raises(UserError, match="measure.probe_size is 31"):
        data.probe(31)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"train_images": np.zeros((30, 5, 4), np.uint8)}, "shape (30, 5, 4)"),
        ({"test_images": np.zeros((6, 4, 4), np.float32)}, "float32"),
        ({"test_labels": np.array([0, 1, 2, 3, 0, 1])}, "test labels lie in 0 to 3; expected 0 to 2"),
        ({"train_labels": np.zeros(29, np.int64)}, "for 29 labels"),
    ],
)
def test_data_of_the_wrong_shape_or_kind_are_refused(change: dict[str, np.ndarray], text: str) -> None:
    class Wrong(Tiny):
        arrays = Tiny.arrays._replace(**change)

    assert text in refused(Wrong(batch_size=4))


def test_unknown_names_and_own_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="unknown dataset 'minst'; nearest: MNIST"):
        create_data("minst")
    (tmp_path / "mydata.py").write_text(
        "from lightning.pytorch import LightningDataModule\n"
        "from repro.data.module import ImageDataModule\n"
        "class Mine(ImageDataModule):\n"
        "    num_classes, in_channels, image_size = 10, 1, 28\n"
        "    load = None\n"
        "    def __init__(self, root, size=1): super().__init__(root); self.size = size\n"
        "class Bare(LightningDataModule):\n"
        "    in_channels, image_size, samples = 1, 28, None\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert create_data("mydata:Mine", root=".", batch_size=3, arguments={"size": 7}).size == 7
    lacking = "lacks num_classes, training_batches, evaluated, batches, probe, held_out_probe; its base class "
    with pytest.raises(UserError, match=lacking + "repro.data.module"):
        create_data("mydata:Bare")
    with pytest.raises(UserError, match="cannot import the dataset mydata:Yours"):
        create_data("mydata:Yours")
    with pytest.raises(UserError, match="unexpected keyword argument 'colour'"):
        create_data("mydata:Mine", root=".", arguments={"colour": 1})
    with pytest.raises(UserError, match="only a data set given by import path"):
        create_data("MNIST5k", arguments={"size": 1})
    assert fingerprint("mydata:Mine", ".", {"size": 7}) != fingerprint("mydata:Mine", ".", {"size": 8})
