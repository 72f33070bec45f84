"""One record that cannot be read hides no other: it is named in a line, left out, and the status is 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from repro import figures
from repro.cli import run as repro
from repro.records import RunDirectory

DAMAGE = {
    "state.json": ("[1]", "state.json' is damaged"),
    "environment.json": ("", "environment.json' is damaged"),
    "config.yaml": ("a: [", "config.yaml' is not YAML"),
    "metrics.jsonl": ('{"step": 1}\n', "metrics.jsonl', record 1, is damaged"),
}
"""Of files of a run: what they hold, and what is said."""


@pytest.fixture
def runs(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, RunDirectory]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(figures, "chosen", lambda runs, names=None: [])
    return {name: run(name, seed=seed, folder="runs/own") for seed, name in enumerate(("bad", "good", "well"))}


@pytest.mark.parametrize(
    ("command", "files"),
    [
        (["report", "runs", "--out", "page"], ("state.json", "environment.json", "metrics.jsonl")),
        (["runs", "list"], ("state.json",)),
        (["runs", "compare", "runs"], ("state.json", "config.yaml")),
        (["runs", "clean", "--delete"], ("state.json", "environment.json")),
        (["wandb-sync", "runs", "--dry-run"], DAMAGE),
    ],
    ids=lambda value: value[0] + value[1] if isinstance(value, list) else "",
)
def test_the_others_are_there(
    command: list[str], files: tuple[str, ...], runs: dict[str, RunDirectory], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in files:
        whole = (path := runs["bad"].path / name).read_bytes()
        content, told = DAMAGE[name]
        path.write_text(content)
        for run in runs.values():
            run.checkpoints.joinpath("step-00000001.ckpt").touch()
            run.checkpoints.joinpath("step-00000002.ckpt").touch()
        assert repro(command) == 2
        out, error = capsys.readouterr()
        assert error.count(told) == 1, "it is said once"
        shown = Path("page/tables.md").read_text() if command[0] == "report" else out + error
        assert "good" in shown or "2 finished" in shown
        assert "Traceback" not in error
        if command[0] == "report":
            assert told in Path("page/index.html").read_text().replace("&#x27;", "'")
            assert repro(command) == 2, "also from what is remembered"
            capsys.readouterr()
        path.write_bytes(whole)


def test_a_manifest_is_named_on_the_page(runs: dict[str, RunDirectory], capsys: pytest.CaptureFixture[str]) -> None:
    Path("runs/own/manifest.json").write_text("{")
    assert repro(["report", "runs", "--out", "page"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    page = Path("page/index.html").read_text()
    assert "own/manifest.json&#x27; is not a study" in page
    assert page.count("<details id=") == len(runs)
    assert line.startswith("repro: 'runs/own/manifest.json' is not a study's manifest (")
    assert "Left out: 'runs/own/manifest.json'" in Path("page/tables.md").read_text()


def test_a_run_without_a_state_is_named(runs: dict[str, RunDirectory], capsys: pytest.CaptureFixture[str]) -> None:
    (runs["bad"].path / "state.json").unlink()
    assert repro(["runs", "list"]) == 2
    out, error = capsys.readouterr()
    assert out.count("finished") == 2
    assert "repro: 'runs/own/bad' is damaged: it has no state.json" in error
    assert repro(["runs", "list", "runs/own/good"]) == 0, "what was left out before does not count"
