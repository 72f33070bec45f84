"""What the documents say can be done can be done."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from repro.commands import parser_of
from repro.commands.fit import Fit
from repro.config import Config, load
from repro.config.gone import GONE
from repro.data import dataset
from repro.measurements import MEASUREMENTS
from repro.runs.validation import check
from repro.theory import STATEMENTS

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "results").rglob("*.md")])
CONFIGURATIONS = sorted((ROOT / "configs").glob("*.yaml"))


def commands() -> list[str]:
    texts = [document.read_text(encoding="utf-8").replace(" \\\n", " ") for document in DOCUMENTS]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    found = [line.split("#")[0].strip() for line in lines if re.match(r"repro [a-z](?!.*--help)", line)]
    for configuration in CONFIGURATIONS:
        text = configuration.read_text(encoding="utf-8")
        found += [line.split("   ")[0] for line in re.findall(r"^# (?:Command: )? +(repro .*)$", text, re.MULTILINE)]
    return sorted(set(found))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), target
    anchors = {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in re.findall(r"^#+ (.*)$", text, re.M)
    }
    for anchor in re.findall(r"\]\(#([^)]+)\)", text):
        assert anchor in anchors


@pytest.mark.parametrize("line", commands())
def test_commands_are_commands(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    _, command, *arguments = shlex.split(line)
    monkeypatch.setattr("repro.runs.start.stored_checkpoint", lambda path: (None, Config(), path))  # any run is there
    request = parser_of(command).read(arguments).request
    if isinstance(request, Fit):
        config = request.config
        if ":" not in config.model.network and dataset(config.data.name).prepare is None:
            check(config)


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda path: path.stem)
def test_a_configuration_loads_and_opens_with_its_facts(configuration: Path) -> None:
    load(configuration)
    head = configuration.read_text(encoding="utf-8").splitlines()[:8]
    for word in ("# Command:", "# Expected:", "# Cost:"):
        assert any(line.startswith(word) for line in head), word


def test_nothing_names_a_registry_or_this_machine() -> None:
    # In pieces, so that this file does not name them either.
    names = ("pypi" r"\.org", r"python\x68osted", "registry" r"\.npmjs", "deb" r"\.debian\.org")
    hosts = re.compile("|".join(names))
    assert hosts.search("".join(("python", "hosted")))
    for path in [*DOCUMENTS, *(ROOT / "repro").rglob("*.py"), *(ROOT / "configs").rglob("*.yaml"), ROOT / "Makefile"]:
        assert not hosts.search(path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize("document", ["docs/theory.md", "FINDINGS.md"])
def test_the_verdicts_that_are_told_are_those_on_record(document: str) -> None:
    files = (ROOT / "results" / "theory" / "numbers").glob("*.json")
    verdicts = [json.loads(file.read_text(encoding="utf-8"))["verdict"] for file in files]
    holds, under = verdicts.count("holds"), sum(each.startswith("holds under") for each in verdicts)
    told = (
        f"{len(verdicts)} statements, of which {holds} hold as stated, {under} under a condition that the paper does "
        f"not say, and {len(verdicts) - holds - under} are not supported"
    )
    assert told in " ".join((ROOT / document).read_text(encoding="utf-8").split())
    shortly = f"Of {len(verdicts)} theorems, lemmas and remarks, {holds} hold as stated and {under} need a condition"
    assert shortly in (ROOT / "README.md").read_text(encoding="utf-8")
    assert {file.stem for file in (ROOT / "results" / "theory" / "numbers").glob("*.json")} == set(STATEMENTS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_flags_are_flags(document: Path) -> None:
    groups = {field.name: field.type for field in dataclasses.fields(Config)}
    for flag in re.findall(r"--(\w+\.\w+)", document.read_text(encoding="utf-8")):
        if flag in GONE or document.name == "CHANGELOG.md":
            continue
        group, name = flag.split(".")
        assert group in groups, flag
        assert hasattr(getattr(Config(), group), name), flag


README = (ROOT / "README.md").read_text(encoding="utf-8")
(CODE,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_readme_and_its_code_are_short() -> None:
    assert len(README.splitlines()) <= 150
    assert len(CODE.strip().splitlines()) <= 12


@pytest.mark.slow
def test_the_code_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(CODE, {})
    assert (tmp_path / "kappa.png").stat().st_size > 10_000


def test_every_measurement_has_a_section() -> None:
    sections = re.findall(r"^## (.*)$", (ROOT / "docs" / "measurements.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(MEASUREMENTS) <= set(sections)


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "notebooks").glob("*.ipynb")]
    assert len(pages) > 10
    for page in pages:
        assert f" {page.relative_to(ROOT / 'docs').with_suffix('.md')}\n" in navigation, page


NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_keep_small_outputs_without_this_machine(notebook: Path) -> None:
    text = notebook.read_text(encoding="utf-8")
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert sum(bool(cell["outputs"]) for cell in cells) > 4
    assert all(output["output_type"] != "error" for cell in cells for output in cell["outputs"])
    assert len(text) < 200_000
    assert not re.search(r"site-packages|/home/|/tmp/", text)
    assert str(ROOT) not in text
    assert not re.search(r"(?<![\w.\-/:<+=])/(?:[\w.-]+/)+", text)  # any folder by its absolute path


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run_without_a_display(notebook: Path) -> None:
    if "CI" not in os.environ:  # where it is set, they have to run
        pytest.importorskip("nbclient")
    without = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "MPLBACKEND")}
    command = [sys.executable, ROOT / "docs" / "make" / "notebooks.py", "--check", notebook.stem]
    done = subprocess.run(command, env=without, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
