from __future__ import annotations

import json
from pathlib import Path

import pytest

from repro.cli import run
from repro.theory import STATEMENTS, examine


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["oyedotun-theorem-9"], ["unknown statement 'oyedotun-theorem-9'", "nearest: oyedotun-theorem-"]),
        (["--seed", "-1"], ["--seed is -1", "allowed: 0 to"]),
        (["--ot", "x"], ["unknown flag '--ot'", "--out"]),
    ],
)
def test_mistakes_are_answered_in_a_line(
    arguments: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["theory", *arguments]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert all(part in shown for part in parts)


def test_the_list_names_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["theory", "--list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in STATEMENTS)


@pytest.mark.slow
def test_a_page_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["oyedotun-theorem-3", "nguyen-tables"]
    assert run(["theory", *names, "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    page = (tmp_path / "index.html").read_text()
    for name in names:
        record = json.loads((tmp_path / "numbers" / f"{name}.json").read_text())
        assert record["verdict"].startswith("holds under")
        assert {case["conditions"] for case in record["cases"]} == {"complete", "as stated", "beside"}
        assert f"{name:24} {record['verdict']}" in shown
        assert f'<section id="{name}">' in page
        assert (tmp_path / "figures" / f"{name}-1.png").stat().st_size > 10_000
    assert "oyedotun-theorem-1" not in page
    assert "repro theory oyedotun-theorem-3 nguyen-tables" in page
    file = tmp_path / "file"
    file.touch()
    assert run(["theory", names[0], "--out", str(file)]) == 2


@pytest.mark.slow
def test_what_is_kept_is_a_part_of_the_page_of_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "nguyen-tables"
    assert run(["theory", name, "--keep", "--out", "alone"]) == 0
    assert sorted(path.name for path in Path("results/theory").glob("*/*")) == [
        *(path.name for path in sorted(Path("results/theory/figures").iterdir())),
        f"{name}.json",
    ]
    assert run(["report", "--all", "--out", "page"]) == 0
    overview, everything, alone = (
        Path(page).read_text() for page in ("page/index.html", "page/parts/theory.html", "alone/index.html")
    )
    start = alone.index(f'<section id="{name}">')
    section = alone[start : alone.index("</section>", start)]
    assert section in everything
    assert '<a href="parts/theory.html">' in overview
    Path("results/theory/numbers", f"{name}.json").write_text("{")
    assert run(["report", "--all", "--out", "page"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", STATEMENTS)
def test_every_statement_is_judged(name: str) -> None:
    result = examine(name, 1)
    assert result.verdict.startswith("holds"), [each for each in result.cases if not each.holds]
    cited = [condition for case in result.cases for condition in case.drops]
    assert all(condition in STATEMENTS[name].conditions.values() for condition in cited)
    for panels in result.figures:
        assert 1 <= len(panels) <= 3
        assert result.caption
        for panel in panels:
            assert len({trace.label for trace in panel.traces}) <= 8, "more than there are looks"
