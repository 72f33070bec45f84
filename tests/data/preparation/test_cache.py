from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from repro.data.loading.arrays import Arrays
from repro.data.preparation import cache
from repro.errors import UserError

SOURCE = cache.Source(name="somewhere.zip", published=False, classes=["a", "b"])


def arrays(seed: int = 0) -> Arrays:
    generator = np.random.default_rng(seed)
    images = [generator.integers(0, 256, (size, 4, 4, 3)).astype(np.uint8) for size in (6, 2)]
    return Arrays(images[0], np.arange(6) % 2, images[1], np.arange(2))


def prepare(root: Path, seed: int = 0) -> str:
    return cache.prepare(root, "Tiny", lambda: lambda: (arrays(seed), SOURCE))


def test_what_is_prepared_is_read_back_mapped_and_private(tmp_path: Path) -> None:
    assert "from somewhere.zip; not known to be the published pixels" in prepare(tmp_path)
    found = cache.load(tmp_path, "Tiny")
    for mine, theirs in zip(found, arrays(), strict=True):
        assert isinstance(mine, np.memmap)
        np.testing.assert_array_equal(mine, theirs)
    found.train_images[:] = 0  # a process's own copy
    assert cache.check(tmp_path, "Tiny")
    assert cache.source(tmp_path, "Tiny") == SOURCE


def test_the_fingerprint_is_the_contents(tmp_path: Path) -> None:
    for folder, seed in (("one", 0), ("two", 0), ("three", 1)):
        prepare(tmp_path / folder, seed)
    one, two, three = (cache.check(tmp_path / folder, "Tiny") for folder in ("one", "two", "three"))
    assert one == two != three


def test_what_is_there_is_kept_and_what_is_damaged_made_again(tmp_path: Path) -> None:
    prepare(tmp_path)
    assert "was there already" in prepare(tmp_path, seed=1)
    path = tmp_path / "Tiny" / "train_images.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"train_images.npy' is damaged: sha256 expected .* repro data prepare Tiny"):
        cache.check(tmp_path, "Tiny")
    assert "from somewhere.zip" in prepare(tmp_path)
    cache.check(tmp_path, "Tiny")


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda folder: shutil.rmtree(folder), "Tiny is not prepared: .* run: repro data prepare Tiny"),
        (lambda folder: (folder / "cache.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "cache.json").write_text('{"format": 99}'), "is not of format 1"),
        (lambda folder: (folder / "test_labels.npy").unlink(), "cannot read .*test_labels.npy"),
        (lambda folder: (folder / "test_labels.npy").write_bytes(b"x"), "cannot read|damaged"),
    ],
)
def test_damage_is_one_line_that_says_what_to_do(tmp_path: Path, damage, text: str) -> None:  # type: ignore[no-untyped-def]
    prepare(tmp_path)
    damage(tmp_path / "Tiny")
    for use in (cache.check, cache.load):
        with pytest.raises(UserError, match=text) as caught:
            use(tmp_path, "Tiny")
        assert "\n" not in str(caught.value)


def test_a_source_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def make() -> tuple[Arrays, cache.Source]:
        raise UserError("no such thing")

    with pytest.raises(UserError, match="no such thing"):
        cache.prepare(tmp_path, "Tiny", lambda: make)
    assert {path.name for path in tmp_path.iterdir()} <= {".Tiny.lock"}


def test_no_space_is_said_before_and_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
        with pytest.raises(UserError, match="no space for .* it needs 0 MB"):
            prepare(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        with pytest.raises(UserError, match="No space left"):
            prepare(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= {".Tiny.lock"}
    prepare(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("locks", [True, False])
def test_eight_processes_at_once_make_one_cache(tmp_path: Path, locks: bool) -> None:
    script = f"""
import contextlib, sys, time
from pathlib import Path
import numpy as np
from repro.data.preparation import cache
from repro.data.loading.arrays import Arrays
if not {locks}:
    cache.alone = lambda lock: contextlib.nullcontext()
def make():
    with open({str(tmp_path / "made")!r}, "a") as log:
        log.write("x")
    time.sleep(0.3)
    images = np.arange(6 * 48, dtype=np.uint8).reshape(6, 4, 4, 3)
    return Arrays(images, np.arange(6), images, np.arange(6)), cache.Source(name="s", published=True, classes=[])
print(cache.prepare(Path({str(tmp_path / "root")!r}), "Tiny", lambda: make))
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    said = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, said
    assert all("is ready" in out for out, _ in said)
    cache.check(tmp_path / "root", "Tiny")
    assert (tmp_path / "made").read_text() == "x" or not locks
    assert {path.name for path in (tmp_path / "root").iterdir()} <= {"Tiny", ".Tiny.lock"}
