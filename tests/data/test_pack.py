"""Prepared data sets in parts: whole again elsewhere, and every kind of damage named."""

from __future__ import annotations

import json
import lzma
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from repro.cli import run
from repro.data import cache, parts
from repro.data.arrays import Arrays
from repro.data.files import Pace
from repro.data.pack import pack, parse_size, unpack
from repro.data.parts import MANIFEST, Manifest
from repro.data.registry import DATASETS, fingerprint
from repro.errors import UserError

SOURCE = cache.Source(name="somewhere.zip", published=False, classes=["a", "b"])
SIZE = 1_000_000


def prepare(root: Path, seed: int = 0, name: str = "CIFAR10") -> Path:
    """Noise of 2.9 MB: nothing compresses it, so that it takes several parts of the least size."""
    generator = np.random.default_rng(seed)
    images = [generator.integers(0, 256, (size, 32, 32, 3)).astype(np.uint8) for size in (800, 150)]
    made = Arrays(images[0], np.arange(800, dtype=np.uint8) % 2, images[1], np.arange(150, dtype=np.uint8) % 2)
    cache.prepare(root, name, lambda: lambda: (made, SOURCE))
    return root


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    pack("cifar10", prepare(folder / "root"), folder / "packed", max_size=SIZE)
    return folder


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "root", tmp_path / "root"))


@pytest.fixture
def packed(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "packed", tmp_path / "packed"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_unpacked_is_what_was_packed(packed: Path, root: Path, tmp_path: Path) -> None:
    there = tmp_path / "elsewhere" / "data"
    (there / ".CIFAR10.unpacking-1" / "CIFAR10").mkdir(parents=True)  # of a process that was killed
    assert unpack(packed, there) == ("CIFAR10", f"CIFAR10 is ready in '{there / 'CIFAR10'}' (from 4 parts)")
    assert contents(there / "CIFAR10") == contents(root / "CIFAR10")
    assert fingerprint("CIFAR10", there) == fingerprint("CIFAR10", root)
    assert {path.name for path in there.iterdir()} <= {"CIFAR10", ".CIFAR10.lock"}
    assert "was there already" in unpack(packed, there)[1]


def test_parts_are_small_enough_files_of_their_own(packed: Path, root: Path) -> None:
    manifest = Manifest.read(packed)
    assert {path.name for path in packed.iterdir()} == {MANIFEST, *(part.name for part in manifest.parts)}
    whole = b"".join((root / "CIFAR10" / name).read_bytes() for name in cache.FILES)
    assert b"".join(lzma.decompress((packed / part.name).read_bytes()) for part in manifest.parts) == whole
    assert all(path.stat().st_size <= SIZE for path in packed.iterdir())
    assert manifest.size == len(whole)


def test_photographs_and_digits_are_compressed_each_in_its_way(tmp_path: Path) -> None:
    slopes = np.cumsum(np.random.default_rng(0).integers(-2, 3, (300_000, 3)), axis=0).astype(np.uint8)
    digits = np.where(np.random.default_rng(0).random(900_000) < 0.1, 255, 0).astype(np.uint8)
    chains = []
    for number, pixels in enumerate((slopes, digits)):
        (tmp_path / str(number)).write_bytes(pixels.tobytes())
        chains.append(len(parts._best_chain(tmp_path / str(number))))
    assert chains == [2, 1]


@pytest.mark.parametrize("name", ["MNIST", "CIFAR10", "CIFAR100"])
def test_the_files_of_a_data_set_are_those_that_preparing_makes(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    from repro.importing import load

    entry = DATASETS[name]
    assert entry.files is not None
    if name == "MNIST":
        from repro.data import idx

        known = {idx.folder(tmp_path) / file for file in idx.FILES}
        assert {tmp_path / name / file for file in load(entry.files)} == known
    else:
        prepare(tmp_path, name=name)
        assert {file.name for file in (tmp_path / name).iterdir()} == set(load(entry.files))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def rewrite(path: Path, **changes: object) -> None:
    content = {**json.loads((path / MANIFEST).read_text()), **changes}
    content.pop("checksum")
    (path / MANIFEST).write_text(json.dumps({**content, "checksum": parts._checksum(content)}))


DAMAGE: dict[str, tuple[Callable[[Path, list[Path]], object], str]] = {
    "missing": (
        lambda folder, files: [files[number].unlink() for number in (0, 2)],
        "2 of the 4 .* -0001.xz, .*-0003.xz",
    ),
    "flipped": (lambda folder, files: flip(files[1]), "1 of the 4 parts in .* are damaged: .*-0002.xz; get them again"),
    "cut": (lambda folder, files: os.truncate(files[3], 10), "are damaged: .*-0004.xz"),
    "exchanged": (lambda folder, files: shutil.copy(files[0], files[1]), "are damaged: .*-0002.xz"),
    "foreign": (
        lambda folder, files: shutil.copy(files[0], folder / "CIFAR10-00000000-0001.xz"),
        "^CIFAR10-00000000-0001.xz in .* belong to something else",
    ),
    "no manifest": (lambda folder, files: (folder / MANIFEST).unlink(), "manifest.json' is missing"),
    "half a manifest": (lambda folder, files: os.truncate(folder / MANIFEST, 100), "is no manifest of repro data pack"),
    "a flipped manifest": (
        lambda folder, files: (folder / MANIFEST).write_text(
            (folder / MANIFEST).read_text().replace("CIFAR10", "CIFAR11")
        ),
        "manifest.json' is damaged: its checksum is another",
    ),
    "another format": (lambda folder, files: rewrite(folder, format=2), "is of format 2; this version reads 1"),
    "another set": (lambda folder, files: rewrite(folder, dataset="CIFAR11"), "a part called CIFAR10-.*-0001.xz"),
    "nothing": (lambda folder, files: rewrite(folder, parts=[], files=[], size=0), "is no manifest of repro data pack"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_named_and_nothing_is_written(what: str, packed: Path, tmp_path: Path) -> None:
    damage, text = DAMAGE[what]
    damage(packed, sorted(packed.glob("*.xz")))
    with pytest.raises(UserError, match=text.replace(" -0001", " .*-0001")) as caught:
        unpack(packed, tmp_path / "new")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_parts_may_come_one_after_the_other(packed: Path, tmp_path: Path) -> None:
    arrived = tmp_path / "arrived"
    arrived.mkdir()
    for number, path in enumerate(sorted(packed.iterdir(), reverse=True)):  # the manifest first
        shutil.copy(path, arrived)
        if number < 4:
            with pytest.raises(UserError, match=f"{4 - number} of the 4 parts in '.*arrived' are missing: .*-0001.xz"):
                unpack(arrived, tmp_path / "new")
    unpack(arrived, tmp_path / "new")


@pytest.mark.parametrize("outside", ["../../escaped.npy", "/tmp/escaped.npy", "train_images.npy/../../escaped.npy"])
def test_a_manifest_cannot_name_files_outside(outside: str, packed: Path, tmp_path: Path) -> None:
    files = json.loads((packed / MANIFEST).read_text())["files"]
    files[1]["name"] = outside
    rewrite(packed, files=files)
    with pytest.raises(UserError, match="names other files than CIFAR10 has"):
        unpack(packed, tmp_path / "a" / "b")
    fake = "../../" + "0" * 32
    rewrite(packed, fingerprint=fake)
    with pytest.raises(UserError, match="is no manifest of repro data pack"):
        unpack(packed, tmp_path / "a" / "b")
    assert not list(tmp_path.rglob("escaped*"))


def test_parts_that_do_not_hold_what_is_said_leave_nothing(packed: Path, tmp_path: Path) -> None:
    content = json.loads((packed / MANIFEST).read_text())
    content["files"][2]["sha256"] = "0" * 64
    rewrite(packed, files=content["files"])
    with pytest.raises(UserError, match="hold another train_labels.npy than manifest.json says"):
        unpack(packed, tmp_path / "new")
    content["parts"][0]["holds"] -= 1
    content["parts"][1]["holds"] += 1
    rewrite(packed, parts=content["parts"])
    with pytest.raises(UserError, match="-0001.xz' does not hold what"):
        unpack(packed, tmp_path / "new")
    assert [path.name for path in (tmp_path / "new").iterdir()] == [".CIFAR10.lock"]


def test_what_is_there_is_never_replaced(packed: Path, tmp_path: Path) -> None:
    other = prepare(tmp_path / "other", seed=1)
    before = contents(other / "CIFAR10")
    with pytest.raises(UserError, match="holds something else than the parts .* remove it, or give another --root"):
        unpack(packed, other)
    assert contents(other / "CIFAR10") == before
    damaged = prepare(tmp_path / "damaged")
    flip(damaged / "CIFAR10" / "test_labels.npy")
    with pytest.raises(UserError, match="not whole: .*test_labels.npy' is damaged"):
        unpack(packed, damaged)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "CIFAR10").symlink_to(tmp_path / "aim")
    with pytest.raises(UserError, match="holds something else"):
        unpack(packed, tmp_path / "linked")
    assert not (tmp_path / "aim").exists()


def test_packing_again_keeps_what_is_there(packed: Path, root: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in packed.iterdir()}
    assert "is packed already" in pack("CIFAR10", root, packed, max_size=SIZE)
    assert {path: path.stat().st_mtime_ns for path in packed.iterdir()} == before
    (packed / MANIFEST).unlink()  # as if it had been killed
    assert "CIFAR10 is packed in" in pack("CIFAR10", root, packed, max_size=2 * SIZE)
    assert len(list(packed.iterdir())) == 3
    for out, data, text in (
        (packed, prepare(tmp_path / "other", seed=1), "is not empty: it holds CIFAR10-"),
        (packed, root, "holds other parts already, of CIFAR10"),
        (root, root, "is not empty: it holds .CIFAR10"),
        (root / "CIFAR10" / "cache.json", root, "cannot write .*: File exists"),
    ):
        with pytest.raises(UserError, match=text):
            pack("CIFAR10", data, out, max_size=SIZE)


@pytest.mark.parametrize(
    ("text", "size"), [("55M", 55_000_000), ("1.5MB", 1_500_000), ("2G", 2 * 10**9), ("1000000", 10**6)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_mistakes(root: Path, packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--root", str(root), "--out", str(tmp_path / "out")]
    for arguments, text in (
        (["pack", "cifar11", *out], "unknown dataset 'cifar11'; nearest: CIFAR10"),
        (["pack", "CIFAR100", *out], "CIFAR100 is not prepared"),
        (["pack", "mnist", *out], "MNIST is not prepared"),
        (["pack", "mnist5k", *out], "MNIST5k comes with the package: there is nothing to carry"),
        (["pack", "imagenet", *out], "copy its archives or a zip of it, and there: repro data prepare ImageNet"),
        (["pack", "CIFAR10", *out, "--max-size", "much"], "--max-size is 'much'; allowed: 1M or more"),
        (["pack", "CIFAR10", *out, "--max-size", "999k"], "--max-size is '999k'; allowed: 1M or more"),
        (["pack", "CIFAR10", *out, "--max-size=-5M"], "allowed: 1M or more"),
        (["unpack", str(tmp_path / "nowhere")], "nowhere' is not a folder"),
        (["unpack", str(packed), "--root", str(packed / MANIFEST)], "cannot unpack"),
    ):
        assert run(["data", *arguments]) == 2, arguments
        said = capsys.readouterr().err
        assert text in said
        assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_no_space_is_said_before_anything_is_written(
    packed: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    message = "no space for .*/new/CIFAR10': it needs 3 MB, 0 MB are free; .* another --root"
    with pytest.raises(UserError, match=message):
        unpack(packed, tmp_path / "new")
    with pytest.raises(UserError, match="no space for .* another --out"):
        pack("CIFAR10", root, tmp_path / "out", max_size=SIZE)


def test_the_commands_and_the_check_afterwards(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = str(tmp_path / "new")
    assert run(["data", "pack", "cifar10", "--root", str(root), "--out", str(tmp_path / "p"), "--max-size", "1M"]) == 0
    assert "CIFAR10 is packed in" in capsys.readouterr().out
    assert run(["data", "unpack", str(tmp_path / "p"), "--root", new]) == 0
    whole = f"CIFAR10 is whole: fingerprint {fingerprint('CIFAR10', root)}"
    assert whole in capsys.readouterr().out
    assert run(["data", "check", "CIFAR10", "--root", new]) == 0
    assert whole in capsys.readouterr().out


def test_long_work_says_how_far_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repro.data.files._REPORT_SECONDS", -1.0)
    pace = Pace("packing it", 5_000_000)
    pace.more(2_000_000)
    assert capsys.readouterr().err == "packing it: 2 of 5 MB\n"
