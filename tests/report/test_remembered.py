"""Figures are drawn once, remembered by what they were drawn from, and never shown of other data."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from repro import figures
from repro.errors import UserError
from repro.report import build, memory
from repro.report.memory import NAME


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Every drawing of a figure: its name and its runs' labels."""
    calls: list[tuple[str, ...]] = []
    draw_one = figures.draw_one

    def counted(name: str, runs: figures.Runs) -> figures.Figure:
        calls.append((name, *(run.label for run in runs)))
        return draw_one(name, runs)

    monkeypatch.setattr(figures, "draw_one", counted)
    return calls


@pytest.fixture
def study(run, manifest) -> Path:
    run("p", network="plainnet20")
    run("r")
    return manifest(("plainnet20", 0, "p"), ("resnet20", 0, "r"), figures=["training-curves", "weights"])


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


ALL = {
    ("training-curves", "plainnet20", "resnet20"),
    ("weights", "plainnet20", "resnet20"),
}


def test_a_figure_is_drawn_once_and_not_again_while_nothing_changes(study: Path, tmp_path: Path, drawn) -> None:
    build([study], tmp_path / "out")
    assert sorted(drawn) == sorted(ALL)
    before = files(tmp_path / "out")
    drawn.clear()
    build([study], tmp_path / "out")
    assert drawn == []
    assert files(tmp_path / "out") == before


def test_studies_that_share_runs_share_their_figures(study: Path, manifest, tmp_path: Path, drawn) -> None:
    cells = [("plainnet20", 0, "p"), ("resnet20", 0, "r")]
    manifest(*cells, folder="runs/other", study="other", figures=["weights", "first-layer"])
    for name in ("p", "r"):
        (tmp_path / "runs" / "other" / name).symlink_to(study / name)
    build([tmp_path / "runs"], tmp_path / "out")
    assert sorted(drawn) == sorted({*ALL, ("first-layer", "plainnet20", "resnet20")})
    names = [name for name in files(tmp_path / "out") if name.startswith("figures/")]
    assert names == ["figures/demo-training-curves.svg", "figures/demo-weights.svg", "figures/other-first-layer.svg"]
    tables = (tmp_path / "out" / "tables.md").read_text(encoding="utf-8")
    assert tables.count("(figures/demo-weights.svg)") == 2
    first, second = (
        (tmp_path / "out" / "parts" / f"{name}.html").read_text(encoding="utf-8") for name in ("demo", "other")
    )
    assert first.count(">Weights</text>") == second.count(">Weights</text>") == 1
    assert first.count("<summary>") == 2, "the runs are described once"
    assert second.count("<summary>") == 0
    assert second.count('href="demo.html#demo-run-p"') == 2, "in the table and above the runs"


def test_a_new_reading_is_seen_and_nothing_else_drawn_again(study: Path, tmp_path: Path, run, manifest, drawn) -> None:
    run("a", folder="runs/other")
    study = manifest(("resnet20", 0, "a"), folder="runs/other", study="other", figures=["weights"]).parent / "demo"
    runs = tmp_path / "runs"
    build([runs], tmp_path / "out")
    before = (tmp_path / "out" / "parts" / "demo.html").read_text(encoding="utf-8")
    drawn.clear()
    changed = study / "p" / "metrics.jsonl"
    stamp = changed.stat().st_mtime_ns
    content = changed.read_text()
    changed.write_text(content.replace("0.5}", "0.7}", 1))
    os.utime(changed, ns=(stamp, stamp))  # as large and as old as it was
    build([runs], tmp_path / "out")
    assert sorted(drawn) == sorted(ALL)
    build([runs], tmp_path / "fresh")
    after = files(tmp_path / "out")
    assert after == files(tmp_path / "fresh")
    assert after["parts/demo.html"].decode() != before


@pytest.mark.slow
@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], lambda _: b"", lambda _: b"{}"])
def test_a_damaged_memory_is_made_again(study: Path, tmp_path: Path, drawn, damage: Callable[[bytes], bytes]) -> None:
    build([study], tmp_path / "out")
    before = files(tmp_path / "out")
    memory = tmp_path / "out" / NAME
    memory.write_bytes(damage(memory.read_bytes()))
    drawn.clear()
    build([study], tmp_path / "out")
    assert len(drawn) == len(ALL)
    assert files(tmp_path / "out") == before


def test_a_figure_that_is_no_longer_shown_goes_and_what_is_not_ours_stays(
    study: Path, manifest, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    build([study], out)
    (out / "figures" / "mine.svg").write_text("mine")
    cells = [("plainnet20", 0, "p"), ("resnet20", 0, "r")]
    manifest(*cells, figures=["weights"])
    build([study], out)
    assert sorted(path.name for path in (out / "figures").iterdir()) == ["demo-weights.svg", "mine.svg"]
    (out / "figures" / "demo-weights.svg").write_text("changed by hand")
    manifest(*cells, figures=["first-layer"])
    build([study], out)
    assert (out / "figures" / "demo-weights.svg").read_text() == "changed by hand"


PROCESSES = """
import os, sys
from pathlib import Path
from repro.errors import UserError
from repro.report import build, render, together
together.processors, together._WORTH_A_PROCESS = (lambda: {processors}), 1
parent = os.getpid()
work = render.Studio.render
def watched(self, section, level, elsewhere):
    assert (os.getpid() != parent) is {elsewhere}
    if {killed} and section.key == "other":
        os._exit(9)
    return work(self, section, level, elsewhere)
render.Studio.render = watched
try:
    build([Path(sys.argv[1])], Path(sys.argv[2]))
except UserError as error:
    print(error)
"""


def build_with(runs: Path, out: Path, *, processors: int, killed: bool = False) -> str:
    code = PROCESSES.format(processors=processors, elsewhere=processors > 1, killed=killed)
    command = [sys.executable, "-c", code, str(runs), str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is one process")
def test_any_number_of_processes_makes_the_same_files(study: Path, run, manifest, tmp_path: Path) -> None:
    run("a", folder="runs/other")
    run("b", folder="runs/other", network="resnext20")
    manifest(("resnet20", 0, "a"), ("resnext20", 0, "b"), folder="runs/other", study="other", figures=["weights"])
    for processors in (1, 2):
        assert build_with(tmp_path / "runs", tmp_path / f"{processors}", processors=processors) == ""
    assert files(tmp_path / "1") == files(tmp_path / "2")
    told = build_with(tmp_path / "runs", tmp_path / "killed", processors=2, killed=True)
    assert "was killed" in told
    assert len(told.splitlines()) == 1
    assert not (tmp_path / "killed").exists()


def test_a_folder_that_is_a_file_is_told_before_it_is_read_as_a_memory(study: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UserError, match="cannot write to"):
        build([study], tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("home", ["another's", "a file"])
def test_what_another_user_remembers_is_not_shown(
    home: str, study: Path, tmp_path: Path, drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A study's folder may come from a stranger, report and all."""
    build([study], tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_bytes()
    drawn.clear()
    build([study], tmp_path / "out")
    assert drawn == []
    place = tmp_path / "home"
    place.write_text("") if home == "a file" else place.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    memory._secret.cache_clear()
    try:
        build([study], tmp_path / "out")
        assert sorted(drawn) == sorted(ALL)
        assert (tmp_path / "out" / "index.html").read_bytes() == page
        if home == "another's":
            (key,) = place.rglob("*.key")
            assert (len(key.read_bytes()), key.stat().st_mode & 0o777) == (32, 0o600)
    finally:
        memory._secret.cache_clear()
