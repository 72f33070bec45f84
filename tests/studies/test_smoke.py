"""Every study from its file to its page, at the size of seconds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from repro.cli import run
from repro.studies.study import load, names


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in names() if load(name).runs_of is None])
def test_the_smoke_preset_runs_to_its_page(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["study", "run", name, "--preset", "smoke", "--jobs", "1"]) == 0
    folder = tmp_path / "runs" / f"{name}-smoke"
    results = json.loads((folder / "report" / "results.json").read_text())
    assert {each["status"] for each in results} <= {"finished", "diverged"}
    assert len(results) == len(load(name).cells("smoke"))
    assert "Reduced against the paper" in (folder / "report" / "tables.md").read_text()
