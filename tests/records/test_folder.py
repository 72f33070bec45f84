"""What a command makes replaces what a command made before, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from repro.cli import run as repro
from repro.errors import UserError
from repro.records import put


def test_a_command_replaces_what_one_made_and_nothing_else(tmp_path: Path) -> None:
    put({"a.csv": b"1", "figures/b.svg": b"1"}, tmp_path)
    put({"a.csv": b"2"}, tmp_path)
    (tmp_path / "index.html").write_text("mine")
    (tmp_path / "figures/c.svg").symlink_to("nowhere")
    for name in ("index.html", "figures/c.svg"):
        with pytest.raises(UserError, match=f"{name}' is there, and repro has not made it; name another folder"):
            put({"a.csv": b"3", name: b"3"}, tmp_path)
    put({"figures/b.svg": b"4"}, tmp_path)
    assert (tmp_path / "a.csv").read_bytes() == b"2"
    assert (tmp_path / "figures/b.svg").read_bytes() == b"4"
    assert (tmp_path / "index.html").read_text() == "mine"


@pytest.mark.parametrize("content", ["", "[1", "3", "[[]]", '{"index.html": 1}'])
def test_a_list_that_is_none_or_names_another_file_lets_nothing_be_replaced(tmp_path: Path, content: str) -> None:
    (tmp_path / ".made-by-repro").write_text(content)
    (tmp_path / "a.csv").write_text("mine")
    with pytest.raises(UserError, match="has not made it"):
        put({"a.csv": b"3"}, tmp_path)


@pytest.mark.parametrize("mark", [".made", "measured.json", "surface.json"])
def test_a_folder_of_an_older_version_is_known_by_its_marks(tmp_path: Path, mark: str) -> None:
    (tmp_path / mark).write_text("x")
    (tmp_path / "index.html").write_text("old")
    put({"index.html": b"new"}, tmp_path)
    assert (tmp_path / "index.html").read_bytes() == b"new"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["sweep", "demo"], "base.yaml"),
        (["theory", "nguyen-tables"], "index.html"),
        (["report", "runs"], "tables.md"),
        (["study", "report", "demo"], "index.html"),
    ],
)
def test_every_command_leaves_what_it_has_not_made(
    command: list[str], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs/single/a"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("seed: 0\n")
    (run / "state.json").write_text('{"status": "finished"}')
    Path("site").mkdir()
    Path("site", name).write_text("mine")
    assert repro([*command, "--out", "site"]) == 2
    assert f"site/{name}' is there, and repro has not made it" in capsys.readouterr().err
    assert Path("site", name).read_text() == "mine"
