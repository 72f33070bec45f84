"""What is no image of a tree is counted and named, in folders and zips alike."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.cli import run
from repro.data.preparation.layout import PARTS, places
from repro.data.sources.imagenet import folder_tree

ODD = {
    "train/a/session2/1.png": "1 in subfolders",
    "train/a/one/two/1.JPG": "1 in subfolders",
    "train/a/notes.txt": "1 other files",
    "train/a/x.heic": "1 other files",
    "train/x.png": "1 outside of class folders",
    "train/dead": "1 dead links",
    "train/a/dead.png": "1 dead links",
    "valid/a/1.png": r"1 in 'valid' \(to use it, call it train, val or test\)",
}
UNSEEN = ["train/a/._x.png", "train/.DS_Store", "train/.ipynb_checkpoints/x.png", "train/__MACOSX/._x.png"]


def with_files(tree: Path, target: Path, *names: str) -> Path:
    shutil.copytree(tree, target, ignore=shutil.ignore_patterns(".*"))
    for name in names:
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if "dead" in name:
            path.symlink_to("nowhere")
        else:
            shutil.copy(tree / "train/a/00.JPEG", path)
    return target


@pytest.mark.parametrize(("name", "said"), ODD.items())
def test_what_is_left_out_of_a_folder_is_told(
    name: str, said: str, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = with_files(tree, tmp_path / "tree", name)
    folder_tree(place)
    told = capsys.readouterr().err
    assert f"repro: note: '{place}': 54 images of 55 files; left out: " in told
    for command in (["check"], ["prepare", "--from", str(place)]):
        root = place if command == ["check"] else tmp_path / "new"
        assert run(["data", *command[:1], "ImageFolder", "--root", str(root), *command[1:]]) == 0
        shown = capsys.readouterr().out
        if command == ["check"] or not name.startswith("valid"):  # a prepared folder links the parts alone
            assert re.search(f"54 images of 55 files; left out: {said}: .*{name}", shown)


def test_the_same_is_left_out_of_a_zip(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = with_files(tree, tmp_path / "tree", *(name for name in [*ODD, *UNSEEN] if "dead" not in name))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in sorted(path for path in place.rglob("*") if path.is_file()):
            archive.write(path, Path("inside") / path.relative_to(place))
    places = ["--root", str(tmp_path / "new"), "--from", str(tmp_path / "a.zip")]
    assert run(["data", "prepare", "ImageFolder", *places]) == 0
    told = capsys.readouterr().err
    assert "54 images of 60 files; left out: " in told
    for reason in ("2 in subfolders", "2 other files", "1 outside of class folders", "1 in 'valid'"):
        assert reason in told


def test_what_systems_leave_is_no_matter(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = folder_tree(with_files(tree, tmp_path / "tree", *UNSEEN))
    assert not found.left_out
    assert found.classes == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


def test_what_is_left_out_is_known_from_the_index_too(tree: Path, tmp_path: Path) -> None:
    place = with_files(tree, tmp_path / "tree", *ODD)
    assert str(folder_tree(place)) == str(folder_tree(place))


NAMES = st.sampled_from([*PARTS, "a", "b", "x.png", "y.JPG", "notes.txt", ".hidden", "__MACOSX", "Train", "valid"])


@given(st.sets(st.lists(NAMES, min_size=1, max_size=5).map("/".join), max_size=12))
def test_every_file_is_an_image_or_counted_or_hidden(paths: set[str]) -> None:
    found, left_out = places(paths)
    hidden = {path for path in paths if any(each.startswith((".", "__MACOSX")) for each in path.split("/"))}
    assert len(found) + sum(left_out.counts.values()) == len(paths) - len(hidden)
    assert all(place.part in PARTS and path.lower().endswith((".png", ".jpg")) for path, place in found.items())
