from __future__ import annotations

import io
import os
import pickle
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets as reference

from repro.data import create_data, fingerprint, provenance
from repro.data.preparation import cache
from repro.data.preparation.files import md5
from repro.data.sources import cifar
from repro.errors import UserError

ADVICE = "fetch https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz elsewhere"


@pytest.mark.parametrize("name", list(cifar.PUBLISHED))
def test_the_published_files_are_torchvisions(name: str) -> None:
    files, theirs = cifar.PUBLISHED[name], getattr(reference, name)
    assert (cifar.HOST + files.archive, files.folder) == (theirs.url, theirs.base_folder)
    assert list(files.train.items()) == [tuple(each) for each in theirs.train_list]
    assert list(files.test.items()) == [tuple(each) for each in theirs.test_list]
    assert files.meta == (theirs.meta["filename"], theirs.meta["md5"])
    assert files.names == theirs.meta["key"]


def forged(monkeypatch: pytest.MonkeyPatch, **contents: object) -> dict[str, bytes]:
    """Two images a batch, in files that pass for the published ones."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3072)).astype(np.uint8)
    made = {name: {"data": pixels + number, "labels": [number, 9]} for number, name in enumerate(batches())}
    made |= {"batches.meta": {"label_names": list("abcdefghij")}, **contents}
    files = {name: pickle.dumps(content, protocol=2) for name, content in made.items()}
    entry = cifar.PUBLISHED["CIFAR10"]
    renewed = cifar.Published(
        **{
            **vars(entry),
            "train": {name: md5(files[name]) for name in entry.train},
            "test": {name: md5(files[name]) for name in entry.test},
            "meta": ("batches.meta", md5(files["batches.meta"])),
        }
    )
    monkeypatch.setitem(cifar.PUBLISHED, "CIFAR10", renewed)
    return files


def batches() -> list[str]:
    entry = cifar.PUBLISHED["CIFAR10"]
    return [*entry.train, *entry.test]


def packed(files: Mapping[str, bytes], path: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("place", ["archive", "folder", "batches", "root", "download"])
def test_batches_come_from_wherever_the_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    files = forged(monkeypatch)
    root, folder = tmp_path / "root", tmp_path / "root" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    archive = packed(files, tmp_path / "cifar-10-python.tar.gz")
    monkeypatch.setattr(cifar, "HOST", f"{tmp_path.as_uri()}/")
    source = {"archive": archive, "folder": root, "batches": folder}.get(place)
    arrays, found = cifar._maker("CIFAR10", root, source, place == "download")()
    assert found.published
    assert found.classes == list("abcdefghij")
    assert arrays.train_images.shape == (10, 32, 32, 3)
    assert arrays.train_labels.tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]
    batch = pickle.loads(files["test_batch"])["data"]
    np.testing.assert_array_equal(arrays.test_images[1, :, :, 2].reshape(-1), batch[1, 2048:])


def test_a_damaged_or_missing_batch_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = forged(monkeypatch)
    for change, text in (
        ({"data_batch_2": files["data_batch_2"] + b"x"}, "data_batch_2 from '.*' is damaged: md5 expected"),
        ({"data_batch_3": None}, "has no data_batch_3; it has batches.meta"),
    ):
        changed = {name: content for name, content in (files | change).items() if content is not None}
        path = packed(changed, tmp_path / "a.tar.gz")
        with pytest.raises(UserError, match=text):
            cifar.prepare("CIFAR10", tmp_path / "root", path, False)
    whole = packed(files, tmp_path / "a.tar.gz").read_bytes()
    for cut in (whole[: len(whole) // 2], whole[:5], b"no archive"):
        (tmp_path / "cut.tar.gz").write_bytes(cut)
        with pytest.raises(UserError, match="cut.tar.gz' is damaged or cut short"):
            cifar.prepare("CIFAR10", tmp_path / "root", tmp_path / "cut.tar.gz", False)
    assert not (tmp_path / "root" / "CIFAR10").exists()


def test_other_numbers_of_images_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(forged(monkeypatch), tmp_path / "a.tar.gz")
    with pytest.raises(UserError, match="has 1 images of class a in a split of 10; expected 5000 of each"):
        cifar.prepare("CIFAR10", tmp_path / "root", path, False)


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch /tmp/evil",)


def test_a_pickle_that_would_run_something_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(forged(monkeypatch, data_batch_1={"data": Evil()}), tmp_path / "a.tar.gz")
    with pytest.raises(pickle.UnpicklingError, match="has no place in a data set"):
        cifar.prepare("CIFAR10", tmp_path / "root", path, False)


def test_without_a_source_it_says_what_to_fetch_and_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=f"add --download, or --from PATH .*{ADVICE}"):
        cifar.prepare("CIFAR10", tmp_path, None, False)
    with pytest.raises(UserError, match=f"nowhere' does not exist; {ADVICE}"):
        cifar.prepare("CIFAR10", tmp_path, tmp_path / "nowhere", False)
    monkeypatch.setattr(cifar, "HOST", f"{(tmp_path / 'nobody').as_uri()}/")
    with pytest.raises(UserError, match="cannot download .*; fetch .* elsewhere, then: repro data prepare CIFAR10"):
        cifar.prepare("CIFAR10", tmp_path, None, True)
    with pytest.raises(UserError, match="CIFAR100 is not prepared: .* run: repro data prepare CIFAR100"):
        fingerprint("cifar100", tmp_path)


@pytest.mark.slow
def test_the_image_tree_and_torchvisions_files_give_the_same_data(cifar_root: Path, cifar10_pickles: Path) -> None:
    before = fingerprint("CIFAR10", cifar_root)  # prepared from the image tree
    root = cifar10_pickles / "prepared"
    said = cifar.prepare("CIFAR10", root, cifar10_pickles, False)
    assert "not known" not in said
    assert fingerprint("CIFAR10", root) == before
    assert provenance("cifar10", cifar_root)["published"]
    mapped = cache.load(cifar_root, "CIFAR10")
    for train, images, labels in ((True, *mapped[:2]), (False, *mapped[2:])):
        theirs = reference.CIFAR10(str(cifar10_pickles), train=train, download=False)
        np.testing.assert_array_equal(images, theirs.data)
        np.testing.assert_array_equal(labels, theirs.targets)
        assert theirs.classes == cache.source(cifar_root, "CIFAR10").classes


@pytest.mark.slow
def test_a_copy_that_is_not_exact_is_labelled(cifar_root: Path) -> None:
    assert provenance("cifar100", cifar_root) == {
        "name": "cifar100",
        "source": "cifar100-jpeg95-mosaic.zip",
        "published": False,
    }


@pytest.mark.slow
@pytest.mark.parametrize("residence", ["auto", "host"])
def test_the_mapped_images_are_batched_without_a_copy(cifar_root: Path, residence: str) -> None:
    data = create_data("cifar10", root=cifar_root, residence=residence)
    data.setup()
    images = data.batches("train").images
    assert images.permute(0, 2, 3, 1).is_contiguous()
    assert data.batches("train").gather._images.data_ptr() == images.data_ptr()
