"""Every study from its file to its page, at the size of seconds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from repro.cli import run
from repro.studies.files import load, names

STUDIES = [name for name in names() if load(name).runs_of is None]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def runs_to_its_page(name: str, folder: Path) -> None:
    assert run(["study", "run", name, "--preset", "smoke", "--jobs", "1"]) == 0
    report = folder / "runs" / f"{name}-smoke" / "report"
    results = json.loads((report / "results.json").read_text())
    assert {each["status"].split(" at step")[0] for each in results} <= {"finished", "diverged"}
    assert len(results) == len(load(name).cells("smoke"))
    assert "Reduced against our full size" in (report / "tables.md").read_text()


@pytest.mark.slow
class TestOneHalf:
    """Two halves, which two of the suite's processes run side by side."""

    @pytest.mark.parametrize("name", STUDIES[::2])
    def test_the_smoke_preset_runs_to_its_page(self, name: str, elsewhere: Path) -> None:
        runs_to_its_page(name, elsewhere)


@pytest.mark.slow
class TestOtherHalf:
    @pytest.mark.parametrize("name", STUDIES[1::2])
    def test_the_smoke_preset_runs_to_its_page(self, name: str, elsewhere: Path) -> None:
        runs_to_its_page(name, elsewhere)
