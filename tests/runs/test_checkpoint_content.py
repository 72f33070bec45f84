"""Checkpoints that are none of ours, whatever their checksums say, are refused by what is wrong with them."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from repro.errors import UserError
from repro.records import RunDirectory
from repro.runs.checkpoint_content import other_weights, read
from repro.runs.checkpoint_file import CheckpointFile, damage, newest_sound

WHOLE: dict[str, Any] = {
    "state_dict": {"a": torch.zeros(2, 3), "b": torch.zeros(())},
    "optimizer_states": [{"state": {}, "param_groups": []}],
    "loops": {},
    "callbacks": {},
    "epoch": 0,
    "global_step": 4,
    "pytorch-lightning_version": "2.6.6",
    "signature": "{}",
    "generators": [{"torch": torch.get_rng_state(), "python": [], "numpy": [], "device": None}],
}


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in WHOLE.items() if name != key}


def test_a_whole_one_is_read(tmp_path: Path) -> None:
    torch.save(WHOLE, tmp_path / "x.ckpt")
    assert read(tmp_path / "x.ckpt").keys() == WHOLE.keys()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "it holds a list"),
        *((without(key), f"its {key} is not there") for key in WHOLE if key not in ("signature", "generators")),
        (without("generators"), "generators"),
        *((WHOLE | {"generators": each}, "generators") for each in ("x", [], [{}], [{"torch": torch.zeros(3)}])),
        *((WHOLE | {"signature": each}, "signature") for each in ("{", "[1]", 3)),
        *((WHOLE | {"optimizer_states": each}, "optimi.er") for each in (3, [3], [{"state": {}}])),
        (WHOLE | {"state_dict": {"a": 1}}, "something else than tensors"),
        (WHOLE | {"global_step": "x"}, "its global_step is a str"),
    ],
)
def test_another_content_is_refused(content: object, words: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match=f"cannot use checkpoint .*none of ours: .*{words}"):
        read(tmp_path / "x.ckpt")


class Evil:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, ("PWNED",)


def test_no_code_of_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(WHOLE | {"evil": Evil()}, "x.ckpt")
    with pytest.raises(UserError, match="cannot use checkpoint"):
        read(Path("x.ckpt"))
    assert not Path("PWNED").exists()


def test_a_zip_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "x")
    for content in (b"", b"hello", buffer.getvalue()):
        (tmp_path / "x.ckpt").write_bytes(content)
        with pytest.raises(UserError, match=r"cannot use checkpoint '.*x.ckpt'"):
            read(tmp_path / "x.ckpt")
    with pytest.raises(UserError, match="No such file"):
        read(tmp_path / "nothing.ckpt")


def test_other_weights_are_named() -> None:
    ours = {"a": torch.zeros(2, 3), "b": torch.zeros(1)}
    assert other_weights(ours, ours) == ""
    assert other_weights({"a": ours["a"]}, ours) == "it has no b"
    assert other_weights(ours | {"a": torch.zeros(4)}, ours) == "a is (4,) there and (2, 3) here"
    assert other_weights(ours | {"c": ours["a"]}, ours) == "it has c, which the network has not"
    for change, kind in (
        (lambda a: a.double(), "torch.float64"),
        (lambda a: a.long(), "torch.int64"),
        (lambda a: a.to_sparse(), "torch.float32 torch.sparse_coo"),
        (lambda a: a.to("meta"), "torch.float32 without values"),
    ):
        assert other_weights(ours | {"a": change(ours["a"])}, ours) == f"a is {kind} there and torch.float32 here"


@pytest.mark.parametrize("code", [5, 13, 116])
def test_what_cannot_be_read_for_a_moment_is_left_as_it_is(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a checksum condemns: a server that fails would cost all that was trained."""
    run = RunDirectory(tmp_path)
    run.checkpoints.mkdir()
    CheckpointFile("{}").save_checkpoint(dict(WHOLE), run.checkpoints / "step-00000004.ckpt")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(zipfile, "ZipFile", refuse)
        with pytest.raises(UserError, match="it is left as it is"):
            newest_sound(run)
    assert newest_sound(run) == run.checkpoints / "step-00000004.ckpt"
    assert damage(run.checkpoints / "step-00000004.ckpt") is None
