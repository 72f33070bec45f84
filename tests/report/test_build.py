from __future__ import annotations

import dataclasses
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from repro import figures
from repro.config import to_yaml
from repro.errors import UserError
from repro.records import RunDirectory
from repro.report import build, build_all
from repro.report.memory import NAME
from repro.report.sources import of_cells
from repro.studies.files import load, names

VOID = {"meta", "br", "hr", "img", "input", "link"}
FIGURES = ["training-curves", "first-layer", "weights", "representations", "weights-map", "representations-map"]


class Page(HTMLParser):
    """Checks that elements are closed in order, and collects what tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self.raw = text
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self._attributes(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._attributes(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def _attributes(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            elif name in ("src", "href", "xlink:href"):
                self.addresses.append(str(value))
            elif name == "style":
                self.addresses += re.findall(r"url\(([^)]*)\)", str(value))

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figures, for tests of what stands around them."""
    monkeypatch.setattr(figures, "chosen", lambda runs, names=None: [])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures that nobody looks at."""
    monkeypatch.setattr(figures, "to_svg", lambda figure: '<svg viewBox="0 0 6 4"><path/></svg>')


@pytest.fixture
def study(run, manifest) -> Path:
    run("p", network="plainnet20", final={"train_accuracy": 0.11, "test_accuracy": 0.1}, channel=math.inf, growth=1e4)
    run("r")
    claims = ["plainnet20.test_accuracy <= 20", "resnext20.test_accuracy >= 90"]
    return manifest(("plainnet20", 0, "p"), ("resnet20", 0, "r"), ("resnext20", 0, "x"), claims=claims)


@pytest.mark.slow
def test_the_page_stands_alone_and_equal_records_give_equal_bytes(study: Path, tmp_path: Path) -> None:
    assert build([study], tmp_path / "one") == tmp_path / "one" / "index.html"
    for name in ("metrics.jsonl", "readings.jsonl"):
        with (study / "p" / name).open("a") as file:
            file.write('{"step": 12, "epo')  # torn by a crash
    build([study], tmp_path / "two")
    written = {name: content for name, content in files(tmp_path / "one").items() if name != NAME}
    assert written == {name: content for name, content in files(tmp_path / "two").items() if name != NAME}
    expected = {f"figures/demo-{name}.svg" for name in FIGURES}
    tables = {"tables/demo.csv", "tables/demo.tex"}
    assert set(written) == {".made-by-repro", "index.html", "tables.md", "results.json", *tables, *expected}

    page = Page(written["index.html"].decode())
    assert len(page.ids) == len(set(page.ids))
    outside = [each for each in page.addresses if not each.startswith(("#", "data:"))]
    assert outside == []
    assert {each[1:] for each in page.addresses if each.startswith("#")} <= set(page.ids)
    assert page.tags.count("figure") == len(FIGURES)
    for part in (
        "A study",
        "Which of them learn?",
        "Preset: cpu.",
        "repro demo --seed 0",
        "repro fit --seed 0",
        "torch 2.15.0",
        "network: plainnet20",
    ):
        assert part in page.text
    assert page.text.count("Reduced against our full size: base width 8") == 1
    assert page.text.count("Reduced: see Results.") == len(FIGURES), "each figure says so"
    assert "0123456789abcdef (with uncommitted changes)" in page.text
    assert "some-host" not in page.text


@pytest.mark.usefixtures("undrawn")
def test_cells_that_were_not_run_are_shown(study: Path, tmp_path: Path) -> None:
    page = Page(build([study], tmp_path / "out").read_text())
    assert "ResNeXt-20 – – – – – – – – not run –" in page.text  # the eighth: infinite κ
    assert "not run ResNeXt-20 test accuracy (%) ≥ 90" in page.text
    assert "holds PlainNet-20 test accuracy (%) ≤ 20" in page.text
    assert "Not run: seed 0 of ResNeXt-20." in page.text
    assert (
        "| ResNeXt-20 | – | – | – | – | – | – | – | – | not run | – |" in (tmp_path / "out" / "tables.md").read_text()
    )


@pytest.mark.usefixtures("undrawn")
def test_results_hold_fractions_and_null_for_what_is_unknown(study: Path, tmp_path: Path) -> None:
    build([study], tmp_path / "out")
    plain, _, missing = json.loads((tmp_path / "out" / "results.json").read_text(), parse_constant=pytest.fail)
    assert plain["network"] == "plainnet20"
    assert (plain["train_accuracy"], plain["test_accuracy"]) == (0.11, 0.1)
    assert (plain["seconds"], plain["status"], plain["first_layer_growth"]) == (84.25, "finished", 1e4)
    assert (missing["network"], missing["test_accuracy"], missing["status"]) == ("resnext20", None, "not run")


@pytest.mark.usefixtures("quick")
def test_what_people_write_is_shown_and_not_obeyed(run, manifest, tmp_path: Path) -> None:
    evil = "<script>alert('1')</script> & \"quotes\" | pipes"
    run("a<b>&c")
    folder = manifest(
        (evil, 0, "a<b>&c"),
        title=evil,
        question=evil,
        reductions=[evil],
        expected=evil,
        command=evil,
        artefact=evil,
        paper_values={evil: {"test_accuracy": 1.0}},
    )
    page = Page(build([folder], tmp_path / "out").read_text())
    data = re.findall(r'<script type="application/json">(.*?)</script>', page.raw)
    assert page.tags.count("script") == 1 + len(data)
    assert len(data) == len(FIGURES)
    for figure in map(json.loads, data):
        assert [network["name"] for network in figure["networks"]] == [evil]
    assert "alert('1')</script>" not in page.raw
    assert page.text.count("alert('1')") > 6
    assert (tmp_path / "out" / "tables.md").read_text().count(r"\| pipes") == 1


@pytest.mark.usefixtures("quick")
def test_a_diverged_run_with_a_loss_that_is_no_number(run, manifest, tmp_path: Path) -> None:
    run(
        "a",
        status="diverged",
        step=8,
        loss=math.nan,
        growth=math.nan,
        final={"train_accuracy": 0.1, "test_accuracy": 0.1, "test_cross_entropy": math.nan},
    )
    page = Page(build([manifest(("resnet20", 0, "a"))], tmp_path / "out").read_text())
    assert "diverged at step 8" in page.text
    (result,) = json.loads((tmp_path / "out" / "results.json").read_text(), parse_constant=pytest.fail)
    assert (result["test_cross_entropy"], result["first_layer_growth"]) == ("nan", None), "it has no end"


@pytest.mark.usefixtures("quick")
def test_one_run_and_a_run_that_recorded_nothing(run, tmp_path: Path) -> None:
    page = Page(build([run("a").path], tmp_path / "one").read_text())
    assert page.tags.count("figure") == len(FIGURES)  # its own curves are the section's
    assert "1 run outside of the studies" in page.text
    empty = run("b", status=None)
    for name in ("metrics.jsonl", "readings.jsonl"):
        (empty.path / name).unlink()
    page = Page(build([empty.path], tmp_path / "two").read_text())
    assert "not started" in page.text
    assert "svg" not in page.tags


@pytest.mark.usefixtures("undrawn")
def test_several_studies_are_cards_of_an_overview_and_pages_of_their_own(
    run, manifest, study: Path, tmp_path: Path
) -> None:
    run("a", folder="runs/other")
    manifest(("resnet20", 0, "a"), folder="runs/other", study="other", title="Another study")
    run("x", folder="runs/single")
    page = Page(build([tmp_path / "runs"], tmp_path / "out").read_text())
    assert page.tags.count("h1") == 1
    assert page.tags.count("h2") == 3
    assert page.addresses == [f"parts/{name}.html" for name in ("demo", "other", "single")]
    parts = {
        name: Page((tmp_path / "out" / "parts" / f"{name}.html").read_text()) for name in ("demo", "other", "single")
    }
    assert parts["other"].addresses[:3] == ["../index.html", "demo.html", "single.html"]
    for part in parts.values():
        assert {each[1:] for each in part.addresses if each.startswith("#")} <= set(part.ids)
        assert all((tmp_path / "out" / "parts" / each).is_file() for each in part.addresses if each[0] != "#")
    headings = re.findall(r"^#+ .*", (tmp_path / "out" / "tables.md").read_text(), re.MULTILINE)
    assert headings == ["# Report", "## A study", "## Another study", "## Runs in single"]


def test_a_report_of_nothing_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run in"):
        build([tmp_path], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_report_that_cannot_be_drawn_leaves_the_old_one(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "index.html").write_text("old")
    before = files(tmp_path / "out")
    monkeypatch.setattr(figures, "to_svg", lambda figure: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build([study], tmp_path / "out")
    assert files(tmp_path / "out") == before


@pytest.mark.usefixtures("undrawn")
def test_a_folder_that_cannot_be_written_is_told(study: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="cannot write to"):
        build([study], tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_importing_the_report_is_cheap() -> None:
    heavy = ["torch", "lightning", "wandb", "matplotlib", "pandas"]
    code = f"import sys, repro.report; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.usefixtures("undrawn")
@pytest.mark.slow
def test_the_page_of_everything_has_a_row_for_every_study_and_sections_for_what_was_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (cell, *_) = load("demo").cells()
    for folder in ("runs", "results"):  # kept records count too, once
        run = RunDirectory.prepare(tmp_path / folder / "demo" / "plain", to_yaml(cell.config))
        run.update_state(status="finished", step=375, seconds=3.0, final={"train_accuracy": 0.1, "test_accuracy": 0.1})
    page = Page(build_all([Path("runs"), Path("results")], tmp_path / "out").read_text(encoding="utf-8"))
    assert {each[1:] for each in page.addresses if each.startswith("#")} <= set(page.ids)
    markdown = (tmp_path / "out" / "tables.md").read_text(encoding="utf-8")
    rows = [line for line in markdown.split("\n## ")[0].splitlines() if line.startswith("| ")][2:]
    assert len(rows) == len(names())
    (row,) = [line for line in rows if "| demo |" in line]
    assert row.endswith("connections not train? | cpu (reduced) | 1 of 3 | 1 | 0 | 0 | 5 | 0 | demo |")
    artefacts = [line.split("|")[1].strip() for line in rows]
    assert (
        artefacts.index("Oyedotun, Fig. 9, left")
        < artefacts.index("Oyedotun, Fig. 10")
        < artefacts.index("Nguyen, Table 1")
        < artefacts.index("Beyond the papers")
    )
    assert [each for each in page.addresses if each[0] != "#"] == ["parts/demo.html"]
    part = Page((tmp_path / "out" / "parts" / "demo.html").read_text(encoding="utf-8"))
    assert "Not run: seed 0 of ResNet-110 and ResNeXt-110." in part.text
    assert page.tags.count("li") == len(names())


def test_runs_that_no_longer_belong_to_the_study_are_named(tmp_path: Path) -> None:
    (cell, *_) = load("demo").cells()
    changed = dataclasses.replace(cell.config, training=dataclasses.replace(cell.config.training, momentum=0.1))
    RunDirectory.prepare(tmp_path / "demo" / "old", to_yaml(changed))
    study = load("demo")
    section = of_cells(study, None, study.cells(), [tmp_path / "demo"], command="c")
    assert section.strays == ["old: training.momentum is 0.1 there and 0.9 in the study"]
