from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from repro.cli import run


@pytest.mark.slow
def test_a_batch_is_shown_as_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "digits.png"
    assert run(["data", "show", "mnist5k", "--out", str(out), "--images", "9"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    with Image.open(out) as picture:
        assert (np.asarray(picture.convert("L")) < 64).mean() > 0.1  # digits are on black


@pytest.mark.slow
def test_a_copy_that_is_not_exact_is_said_to_be(cifar_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "check", "cifar100", "--root", str(cifar_root)]) == 0
    assert "not known to be the published pixels" in capsys.readouterr().out
    assert run(["data", "check", "cifar10", "--root", str(cifar_root)]) == 0
    assert "not known" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "gone"),
    [
        (["data", "pack", "cifar10"], "data pack"),
        (["data", "unpack", "parts"], "data unpack"),
        (["study", "run", "demo", "--stack", "4"], "--stack"),
        (["study", "run", "demo", "--stack=4"], "--stack"),
    ],
)
def test_what_has_gone_says_what_to_use(command: list[str], gone: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command) == 2
    error = capsys.readouterr().err
    assert f"{gone} was removed; " in error
    assert len(error.splitlines()) == 1
