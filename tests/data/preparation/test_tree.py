from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from repro.cli import run
from repro.data import DATASETS, counted, fingerprint
from repro.data.loading.image_file import open_rgb
from repro.data.loading.verify import look
from repro.data.preparation import tree as module
from repro.data.sources import imagenet
from repro.errors import UserError


@pytest.fixture
def copy(tree: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tree, tmp_path / "tree", ignore=shutil.ignore_patterns(".*")))


def refused(root: Path) -> str:
    with pytest.raises(UserError) as caught:
        imagenet.folder_tree(root)
    return str(caught.value)


def test_a_tree_is_counted_by_looking(tree: Path) -> None:
    entry = counted("ImageFolder", tree)
    assert (entry.classes, entry.train, entry.test) == (3, 39, 15)
    assert counted("MNIST", tree) == DATASETS["MNIST"]
    assert str(imagenet.folder_tree(tree)) == "39 train + 15 test images, 3 classes"


def test_parts_take_their_roles(copy: Path) -> None:
    shutil.copytree(copy / "val", copy / "test")
    found = imagenet.folder_tree(copy)
    assert {role: part.folder.name for role, part in found.parts.items()} == {
        "train": "train",
        "validation": "val",
        "test": "test",
    }
    shutil.rmtree(copy / "train")
    assert "has no folder train" in refused(copy)
    shutil.rmtree(copy / "test")
    alone = imagenet.folder_tree(copy)  # a single part is trained on, and nothing is called held out
    assert (list(alone.parts), alone.parts["train"].folder.name) == (["train"], "val")
    assert "nothing is held out" in str(alone)


def test_the_index_is_used_until_a_folder_changes(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = imagenet.folder_tree(copy)
    listed: list[Path] = []
    list_class = module._list_class
    monkeypatch.setattr(module, "_list_class", lambda folder: listed.append(folder) or list_class(folder))
    again = imagenet.folder_tree(copy)
    assert listed == []
    assert (again.fingerprint, again.parts) == (first.fingerprint, first.parts)
    shutil.copy(copy / "train" / "a" / "00.JPEG", copy / "train" / "a" / "99.JPEG")
    more = imagenet.folder_tree(copy)
    assert len(listed) == 6
    assert len(more.parts["train"]) == 40
    assert more.fingerprint != first.fingerprint
    (copy / "train" / "a" / "99.JPEG").unlink()
    assert imagenet.folder_tree(copy).fingerprint == first.fingerprint


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1}', '{"version": 0, "folders": {}}', "null"])
def test_a_broken_index_is_made_again(copy: Path, content: str) -> None:
    first = imagenet.folder_tree(copy)
    (copy / module.INDEX).write_text(content)
    assert imagenet.folder_tree(copy) == first
    assert len((copy / module.INDEX).read_text()) > 500


def test_the_fingerprint_is_of_names_and_sizes_wherever_the_tree_lies(copy: Path, tree: Path) -> None:
    assert fingerprint("imagefolder", copy) == fingerprint("imagefolder", tree)
    os.truncate(copy / "val" / "b" / "01.JPEG", 100)
    (copy / module.INDEX).unlink()
    assert fingerprint("imagefolder", copy) != fingerprint("imagefolder", tree)


def test_a_place_that_cannot_be_written_to_is_told(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(module, "replace_text", refuse)
    assert len(imagenet.folder_tree(copy).parts) == 2
    assert "every start lists all files" in capsys.readouterr().err


def test_classes_that_are_empty_or_differ_are_named(copy: Path) -> None:
    (copy / "train" / "d").mkdir()
    (copy / "train" / "d" / "notes.txt").write_text("no image")
    assert f"class folder '{copy / 'train' / 'd'}' has no image" in refused(copy)
    shutil.copy(copy / "train" / "a" / "00.JPEG", copy / "train" / "d")
    assert f"'{copy / 'val'}' lacks class d, which '{copy / 'train'}' has" in refused(copy)
    shutil.move(copy / "train" / "d", copy / "val" / "d")
    assert f"'{copy / 'train'}' lacks class d, which '{copy / 'val'}' has" in refused(copy)
    shutil.rmtree(copy / "train")
    (copy / "train").mkdir()
    assert f"'{copy / 'train'}' has no class folders" in refused(copy)


def test_missing_data_name_the_command(tmp_path: Path) -> None:
    assert "names a folder with train/CLASS/IMAGE" in refused(tmp_path)
    with pytest.raises(UserError, match=f"repro data prepare imagenet --root {tmp_path} --from DIR"):
        imagenet.imagenet_tree(tmp_path)


def test_another_tree_is_not_taken_for_imagenet(copy: Path) -> None:
    (copy / "imagenet").mkdir()
    for part in ("train", "val"):
        (copy / part).rename(copy / "imagenet" / part)
    with pytest.raises(UserError, match="has 39 train .* 3 classes; ImageNet has 1,000 .* --data.name ImageFolder"):
        imagenet.imagenet_tree(copy)


MODES = {
    "grey.png": ("L", {}),
    "grey.jpg": ("L", {}),
    "cmyk.jpg": ("CMYK", {}),
    "alpha.png": ("RGBA", {}),
    "grey-alpha.png": ("LA", {}),
    "palette.png": ("P", {}),
    "transparent.png": ("P", {"transparency": b"\x00\x80"}),
    "lossless.webp": ("RGB", {"lossless": True}),
    "plain.bmp": ("RGB", {}),
}


@pytest.mark.parametrize("name", list(MODES))
def test_every_mode_becomes_rgb(name: str, photographs: list[Path], tmp_path: Path) -> None:
    mode, options = MODES[name]
    with Image.open(photographs[5]) as image:
        image.convert("RGB").convert(mode).save(tmp_path / name, **options)
    found = open_rgb(tmp_path / name)
    assert (found.mode, look(tmp_path / name).fault) == ("RGB", "")


def damaged(folder: Path, photograph: Path) -> list[Path]:
    content = photograph.read_bytes()
    with Image.open(photograph) as image:
        image.convert("RGB").save(folder / "whole.png")
    png = bytearray((folder / "whole.png").read_bytes())
    (folder / "whole.png").unlink()
    png[len(png) // 2] ^= 0xFF
    files = {
        "truncated.jpg": content[: len(content) // 2],
        "empty.jpg": b"",
        "text.jpg": b"not an image",
        "header.jpg": content[:20],
        "torn.png": bytes(png[: len(png) // 2]),
        "flipped.png": bytes(png),
    }
    for name, text in files.items():
        (folder / name).write_bytes(text)
    return sorted(folder.iterdir())


def test_damaged_files_are_found_and_named(photographs: list[Path], tmp_path: Path) -> None:
    for path in damaged(tmp_path, photographs[3]):
        assert f"image '{path}' cannot be read" in look(path).fault
        with pytest.raises(UserError, match=f"{path.name}' cannot be read"):
            open_rgb(path)
    assert [path for path in photographs if look(path).fault] == []


def test_data_check_opens_every_file(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "check", "imagefolder", "--root", str(copy)]) == 0
    shown = capsys.readouterr().out
    assert "39 train + 15 test images, 3 classes" in shown
    assert f"fingerprint {fingerprint('imagefolder', copy)}" in shown
    for name in ("00", "02"):
        os.truncate(copy / "val" / "b" / f"{name}.JPEG", 200)
    assert run(["data", "check", "imagefolder", "--root", str(copy)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("repro: 2 of 54 images are damaged")
    assert str(copy / "val" / "b" / "02.JPEG") in error
    assert error.count("\n") == 1
