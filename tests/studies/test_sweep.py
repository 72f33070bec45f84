"""A study as a sweep of W&B's has the study's runs: what an agent would type is read back by `repro fit`."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml

from repro.cli import run as repro
from repro.commands import parser_of
from repro.config import determining
from repro.studies.files import load, names
from repro.studies.sweep import as_grid, write


def typed(sweep: dict[str, Any]) -> list[list[str]]:
    """The command lines of an agent that tries every combination, made by W&B's own client."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

    values = {key: parameter["values"] for key, parameter in sweep["parameters"].items()}
    lines = []
    for chosen in itertools.product(*values.values()):
        arguments = {key: {"value": value} for key, value in zip(values, chosen, strict=True)}
        flags = create_sweep_command_args({"args": arguments})["args"]
        assert sweep["command"][:2] == ["repro", "fit"]
        assert sweep["command"][-1] == "${args}"
        lines.append([*sweep["command"][2:-1], *flags])
    return lines


STUDIES = [name for name in names() if load(name).runs_of is None]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name != "demo" else []) for name in STUDIES]
)
def test_the_runs_are_the_studys(name: str, tmp_path: Path) -> None:
    cells = load(name).cells("smoke" if "smoke" in load(name).presets else None)
    sweep = yaml.safe_load(write(cells, tmp_path / "a sweep", name=name).read_text())
    configs = [parser_of("fit").read(line).request.config for line in typed(sweep)]
    keys = [repr(determining(config)) for config in configs]
    assert sorted(keys) == sorted(repr(determining(cell.config)) for cell in cells)
    assert {config.study for config in configs} == {cell.config.study for cell in cells}
    assert {repr(config.measure) for config in configs} == {repr(cell.config.measure) for cell in cells}


def test_a_grid_of_keys_is_told_as_such(tmp_path: Path) -> None:
    sweep = yaml.safe_load(write(load("oyedotun-search").cells(), tmp_path, name="search").read_text())
    assert set(sweep["parameters"]) == {"model.network", "training.learning_rate", "training.momentum", "seed"}
    assert sweep["parameters"]["training.momentum"] == {"values": [0.1, 0.5, 0.9]}
    assert (sweep["method"], sweep["metric"]) == ("grid", {"name": "test/accuracy", "goal": "maximize"})


def test_what_is_no_grid_is_none() -> None:
    corner = [{"a": 1, "b": None}, {"a": 1, "b": "x"}, {"a": 2, "b": None}]
    assert as_grid(corner) is None
    assert as_grid([*corner, {"a": 2, "b": "x"}]) == {"a": [1, 2], "b": [None, "x"]}
    assert as_grid([*corner, {"a": 2, "b": None}]) is None
    assert as_grid([{}]) == {}


def test_the_command_says_what_to_type_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert repro(["sweep", "demo", "--preset", "smoke"]) == 0
    shown = capsys.readouterr().out
    assert "wandb sweep --project repro sweeps/demo-smoke/sweep.yaml" in shown
    assert "repro study report demo --preset smoke" in shown
    (tmp_path / "file").write_text("")
    assert repro(["sweep", "demo", "--out", "file"]) == 2
    assert "name another folder with --out" in capsys.readouterr().err


def test_an_agent_starts_no_study(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", "s")
    monkeypatch.setenv("WANDB_RUN_ID", "r")
    assert repro(["study", "run", "demo", "--preset", "smoke"]) == 2
    assert "one run at a time, not a study; repro sweep writes what it takes" in capsys.readouterr().err
