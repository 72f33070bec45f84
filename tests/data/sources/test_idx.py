from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from repro.data import fingerprint
from repro.data.sources import idx
from repro.errors import UserError


def encode(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@given(arrays.arrays(np.uint8, arrays.array_shapes(max_dims=3, max_side=5)))
def test_what_is_written_as_idx_is_read_back(array: np.ndarray) -> None:
    np.testing.assert_array_equal(idx.parse(encode(array), "x"), array)


@given(st.integers(1, 12), st.binary(max_size=20))
def test_cut_or_foreign_content_is_refused(cut: int, noise: bytes) -> None:
    whole = encode(np.ones((2, 2), np.uint8))
    with pytest.raises(UserError, match="not an idx file"):
        idx.parse(whole[:-cut], "x")
    with pytest.raises(UserError, match="not an idx file"):
        idx.parse(b"\x01" + noise, "x")


@pytest.mark.slow
def test_preparing_from_a_gzipped_copy_gives_files_that_torchvision_reads(mnist_files: Path, tmp_path: Path) -> None:
    from torchvision.datasets import MNIST as Reference

    assert "new: train-images" in idx.prepare(tmp_path, mnist_files, False)
    assert "was there already" in idx.prepare(tmp_path, None, False)
    assert idx.check(tmp_path) == fingerprint("mnist", tmp_path)
    arrays_by_name = idx.load(tmp_path)
    for train, part in ((True, "train"), (False, "t10k")):
        reference = Reference(str(tmp_path), train=train, download=False)
        np.testing.assert_array_equal(arrays_by_name[f"{part}-images-idx3-ubyte"], reference.data.numpy())
        np.testing.assert_array_equal(arrays_by_name[f"{part}-labels-idx1-ubyte"], reference.targets.numpy())


def test_preparing_from_raw_files_in_torchvisions_layout(mnist_files: Path, tmp_path: Path) -> None:
    source = tmp_path / "source" / "MNIST" / "raw"
    source.mkdir(parents=True)
    for name in idx.FILES:
        (source / name).write_bytes(gzip.decompress((mnist_files / f"{name}.gz").read_bytes()))
    idx.prepare(tmp_path / "root", tmp_path / "source", False)
    idx.check(tmp_path / "root")


def test_a_damaged_copy_is_refused_and_leaves_nothing(mnist_files: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(mnist_files, source)
    name = "train-images-idx3-ubyte"
    content = bytearray(gzip.decompress((source / f"{name}.gz").read_bytes()))
    content[1000] ^= 1
    (source / f"{name}.gz").write_bytes(gzip.compress(bytes(content), 1))
    with pytest.raises(UserError, match=f"{name} .*md5 expected {idx.FILES[name]}, found [0-9a-f]{{32}}"):
        idx.prepare(tmp_path / "root", source, False)
    assert not (tmp_path / "root").exists()
    (source / f"{name}.gz").write_bytes((mnist_files / f"{name}.gz").read_bytes()[:-100])
    with pytest.raises(UserError, match="is damaged"):
        idx.prepare(tmp_path / "root", source, False)


def test_a_damaged_prepared_file_is_named_with_both_checksums(tmp_path: Path) -> None:
    place = idx.folder(tmp_path)
    place.mkdir(parents=True)
    (place / "train-images-idx3-ubyte").write_bytes(b"short")
    with pytest.raises(UserError, match=r"train-images.*md5 expected 6bbc9ace898e44ae57da46a324031adb, found"):
        idx.check(tmp_path)


def test_missing_data_name_the_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="repro data prepare mnist"):
        idx.check(tmp_path)
    with pytest.raises(UserError, match="--from DIR"):
        idx.prepare(tmp_path, None, False)
    with pytest.raises(UserError, match="has no file"):
        idx.prepare(tmp_path, tmp_path, False)


def test_a_download_checks_and_falls_back_to_the_next_mirror(
    mnist_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idx, "MIRRORS", ((tmp_path / "none").as_uri() + "/", mnist_files.as_uri() + "/"))
    idx.prepare(tmp_path / "root", None, True)
    idx.check(tmp_path / "root")


def test_a_download_without_network_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idx, "MIRRORS", ((tmp_path / "none").as_uri() + "/",))
    with pytest.raises(UserError, match=r"cannot download \(.*train-images.*fetch .* elsewhere and use --from DIR"):
        idx.prepare(tmp_path / "root", None, True)
    assert not (tmp_path / "root").exists()
