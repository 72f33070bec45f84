from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from repro.cli import run
from repro.data import fingerprint
from repro.data.preparation import unpack
from repro.data.sources import imagenet
from repro.errors import UserError


def zipped(path: Path, members: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tarred(members: Mapping[str, bytes | tarfile.TarInfo]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.JPEG")}


@pytest.mark.parametrize("prefix", ["", "some/where/"])
def test_a_zip_of_a_tree_is_unpacked(tree: Path, tmp_path: Path, prefix: str) -> None:
    source = zipped(tmp_path / "a.zip", {prefix + name: content for name, content in files(tree).items()})
    said = imagenet.prepare_folder(tmp_path / "root", source, False)
    assert said == f"ImageFolder is ready in '{tmp_path / 'root'}': 39 train + 15 test images, 3 classes"
    assert files(tmp_path / "root") == files(tree)
    assert fingerprint("imagefolder", tmp_path / "root") == fingerprint("imagefolder", tree)
    assert sorted(path.name for path in (tmp_path / "root").iterdir()) == [".index.json", "train", "val"]
    assert imagenet.prepare_folder(tmp_path / "root", None, False) == said


def test_another_folder_is_linked_not_copied(tree: Path, tmp_path: Path) -> None:
    imagenet.prepare_folder(tmp_path / "root", tree, False)
    assert (tmp_path / "root" / "train").is_symlink()
    assert fingerprint("imagefolder", tmp_path / "root") == fingerprint("imagefolder", tree)


@pytest.mark.parametrize(
    "name", ["../train/a/x.JPEG", "/train/a/x.JPEG", "train/a/../../../x.JPEG", "C:/train/a/x.png"]
)
def test_a_zip_that_would_write_outside_is_refused(tree: Path, tmp_path: Path, name: str) -> None:
    source = zipped(tmp_path / "a.zip", {**files(tree), name: b"x"})
    with pytest.raises(UserError, match="would be written outside its folder"):
        imagenet.prepare_folder(tmp_path / "root", source, False)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_zips_that_are_damaged_or_hold_no_tree_are_refused(tree: Path, tmp_path: Path) -> None:
    whole = zipped(tmp_path / "a.zip", files(tree))
    content = bytearray(whole.read_bytes())
    (tmp_path / "cut.zip").write_bytes(content[:-200])
    content[len(content) // 2] ^= 1
    (tmp_path / "flipped.zip").write_bytes(content)
    zipped(tmp_path / "other.zip", {"readme.txt": b"x"})
    for name, text in (
        ("cut", "damaged or not a zip"),
        ("flipped", "damaged or not a zip"),
        ("other", "holds no tree"),
    ):
        with pytest.raises(UserError, match=text):
            imagenet.prepare_folder(tmp_path / name, tmp_path / f"{name}.zip", False)
        assert not (tmp_path / name / "train").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="is none of these: a folder with train/ and val/, or a zip of one"):
        imagenet.prepare_folder(tmp_path / "root", tmp_path / "empty", False)
    with pytest.raises(UserError, match="holds no images; add --from DIR"):
        imagenet.prepare_folder(tmp_path / "root", None, False)


def test_a_full_disk_is_told_before_and_while_unpacking(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = zipped(tmp_path / "a.zip", files(tree))
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(10, 10, 0))
        with pytest.raises(UserError, match=r"no space left: .*a.zip' takes 0.00 GB in .* where 0.00 are free"):
            imagenet.prepare_folder(tmp_path / "root", source, False)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]
    written = []
    copy = shutil.copyfileobj

    def fill(content: object, file: object, size: int) -> None:
        if len(written) == 7:
            raise OSError(28, "No space left on device")
        written.append(content)
        copy(content, file, size)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", fill)
        with pytest.raises(UserError, match="No space left on device; free some space: the same command continues"):
            imagenet.prepare_folder(tmp_path / "root", source, False)
    assert not (tmp_path / "root" / "train").exists()
    counted = []
    monkeypatch.setattr(shutil, "copyfileobj", lambda *given: counted.append(given) or copy(*given))
    imagenet.prepare_folder(tmp_path / "root", source, False)
    assert len(counted) == 54 - 7
    assert files(tmp_path / "root") == files(tree)


def test_the_wrong_tree_is_not_left_as_imagenet(tree: Path, tmp_path: Path) -> None:
    for source in (tree, zipped(tmp_path / "a.zip", files(tree))):
        with pytest.raises(UserError, match="ImageNet has 1,000 classes"):
            imagenet.prepare_imagenet(tmp_path / "root", source, False)
        assert [path.name for path in tmp_path.iterdir() if path.name != "a.zip"] == []
    assert len(files(tree)) == 54


def test_a_download_says_what_to_fetch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "prepare", "imagenet", "--root", str(tmp_path), "--download"]) == 2
    said = capsys.readouterr().err
    assert all(name in said for name in (*unpack.ARCHIVES, "account", "image-net.org", "--from DIR"))
    assert said.count("\n") == 1


@pytest.fixture
def archives(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ILSVRC's three archives in small: three classes under two synsets that are none, with md5s of their own."""
    from scipy.io import savemat
    from torchvision.datasets import imagenet as reference

    source = tmp_path / "archives"
    source.mkdir()
    wnids = {"a": "n00000001", "b": "n00000002", "c": "n00000003"}
    inner = {}
    for label, wnid in wnids.items():
        photographs = sorted((tree / "train" / label).iterdir())
        inner[f"{wnid}.tar"] = tarred({f"{wnid}_{n}.JPEG": path.read_bytes() for n, path in enumerate(photographs)})
    (source / unpack.ARCHIVES[0]).write_bytes(tarred(inner))
    held_out = sorted((tree / "val").rglob("*.JPEG"), key=lambda path: path.name)
    members = {f"ILSVRC2012_val_{n:08}.JPEG": path.read_bytes() for n, path in enumerate(held_out, 1)}
    (source / unpack.ARCHIVES[1]).write_bytes(tarred(dict(reversed(members.items()))))
    numbers = {label: number for number, label in enumerate(("c", "a", "b"), 1)}
    rows = [(numbers[label], wnid, label, "gloss", 0, 0, 0, 0) for label, wnid in wnids.items()]
    rows.append((4, "n00000009", "parent", "gloss", 3, 0, 0, 0))
    names = ("ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children", "height", "images")
    synsets = np.array(rows, dtype=[(name, object) for name in names])
    savemat(tmp_path / "meta.mat", {"synsets": synsets})
    truth = "".join(f"{numbers[path.parent.name]}\n" for path in held_out)
    devkit = {
        "ILSVRC2012_devkit_t12/data/meta.mat": (tmp_path / "meta.mat").read_bytes(),
        "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt": truth.encode(),
    }
    (source / unpack.ARCHIVES[2]).write_bytes(gzip.compress(tarred(devkit)))
    sign(source, monkeypatch)
    monkeypatch.setattr(imagenet, "CLASSES", 3)
    assert reference.ARCHIVE_META["train"][1] != "1d675b47d978889d74fa0da5fadfb00e"
    return source


def sign(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import imagenet as reference

    signed = {
        part: (name, hashlib.md5((source / name).read_bytes()).hexdigest())
        for part, (name, _) in reference.ARCHIVE_META.items()
    }
    monkeypatch.setattr(reference, "ARCHIVE_META", signed)


def test_ilsvrcs_archives_become_what_torchvision_makes_of_them(archives: Path, tmp_path: Path, tree: Path) -> None:
    from torchvision.datasets import ImageNet as Reference

    said = imagenet.prepare_imagenet(tmp_path / "root", archives, False)
    assert "39 train + 15 test images, 3 classes" in said
    assert "(reduced: the whole ImageNet has 1,281,167 + 50,000)" in imagenet.verify_imagenet(tmp_path / "root")
    found = files(tmp_path / "root" / "imagenet")
    shutil.copytree(archives, tmp_path / "reference")
    for split in ("train", "val"):
        Reference(tmp_path / "reference", split=split)
    assert found == files(tmp_path / "reference")
    assert sorted(found.values()) == sorted(files(tree).values())


def test_archives_that_are_missing_or_damaged_are_refused(archives: Path, tmp_path: Path) -> None:
    for name in unpack.ARCHIVES:
        content = (archives / name).read_bytes()
        (archives / name).unlink()
        with pytest.raises(UserError, match=f"{name}' is missing; ImageNet needs"):
            imagenet.prepare_imagenet(tmp_path / "root", archives, False)
        (archives / name).write_bytes(content[:-1])
        with pytest.raises(UserError, match=f"{name}' is damaged or cut short: md5 expected [0-9a-f]*, found"):
            imagenet.prepare_imagenet(tmp_path / "root", archives, False)
        (archives / name).write_bytes(content)
        assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("kind", ["path", "link"])
def test_an_archive_that_would_write_outside_is_refused(
    archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    pointing = tarfile.TarInfo("x.JPEG")
    pointing.type, pointing.linkname = tarfile.SYMTYPE, "/etc/passwd"
    members = {"../../x.JPEG": b"x"} if kind == "path" else {"x.JPEG": pointing}
    (archives / unpack.ARCHIVES[0]).write_bytes(tarred({"n00000001.tar": tarred(members)}))
    sign(archives, monkeypatch)
    with pytest.raises(UserError, match="would be written outside its folder"):
        imagenet.prepare_imagenet(tmp_path / "root", archives, False)
    assert not (tmp_path / "root").exists()


def test_a_torn_inner_archive_is_refused(archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (archives / unpack.ARCHIVES[0]).write_bytes(tarred({"n00000001.tar": tarred({"x.JPEG": b"x" * 5000})[:2000]}))
    sign(archives, monkeypatch)
    with pytest.raises(UserError, match="is damaged"):
        imagenet.prepare_imagenet(tmp_path / "root", archives, False)
