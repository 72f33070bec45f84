from __future__ import annotations

from pathlib import Path

import pytest

from repro.cli import run
from repro.config import from_mapping
from repro.errors import UserError
from repro.records import find_runs
from repro.studies.stacking import stacks
from repro.studies.study import Cell

STUDY = """
title: Seeds
question: Do they differ?
paper: Oyedotun
artefact: Table 1
expected: They do.
base:
  model: {network: resnet8, width: 4}
  data: {train_size: 64, batch_size: 32, evaluation_batch_size: 1000}
  measure: {measurements: []}
  trainer: {max_epochs: 1, accelerator: cpu}
  log: {wandb: disabled}
grid:
  training.learning_rate: [0.1, 0.05]
presets:
  cpu: {seeds: [0, 1]}
"""


def cell(label: str, seed: int = 0, **settings: object) -> Cell:
    config = from_mapping({"seed": seed, **{key.replace("__", "."): value for key, value in settings.items()}})
    return Cell(label=label, seed=seed, config=config)


def names(found: list[list[Cell]]) -> list[list[str]]:
    return [[f"{each.label}{each.seed}" for each in part] for part in found]


def test_runs_that_differ_in_seeds_and_rates_are_together() -> None:
    cells = [cell(name, seed, model__network=f"{name}20") for seed in range(3) for name in ("plainnet", "resnet")]
    cells.append(cell("slow", 5, model__network="resnet20", training__learning_rate=0.01, model__skip_seed=4))
    cells.append(cell("wide", 0, model__network="resnet20", model__width=4))
    assert names(stacks(cells, 3)) == [
        ["plainnet0", "plainnet1", "plainnet2"],
        ["resnet0", "resnet1", "resnet2"],
        ["slow5"],
        ["wide0"],
    ]
    assert [len(part) for part in stacks(cells, 8)] == [3, 4, 1]


def test_one_that_is_left_needs_no_other() -> None:
    assert names(stacks([cell("resnet")], 8)) == [["resnet0"]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model__width": 8}, "'one' and 'other' differ in model.width"),
        ({"trainer__max_epochs": 3, "data__batch_size": 64}, "differ in data.batch_size, trainer.max_epochs"),
        ({"training__spectral_penalty": 0.1}, "'other' cannot be stacked: training.spectral_penalty"),
        ({"model__train": "output"}, "'other' cannot be stacked: model.train output"),
        ({"trainer__graph": True}, "'other' cannot be stacked: trainer.compile and trainer.graph are of one network's"),
        ({"trainer__devices": 2}, "'other' cannot be stacked: a stack trains on one device; set --trainer.devices 1"),
    ],
)
def test_runs_that_differ_in_more_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=f"--stack 4: .*{message}.*; run them without --stack"):
        stacks([cell("one"), cell("other", **settings)], 4)


@pytest.mark.slow
def test_a_study_is_run_in_stacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(STUDY)
    command = ["study", "run", str(path), "--runs", str(tmp_path / "runs"), "--stack", "3"]
    assert run(command) == 0
    said = capsys.readouterr()
    assert "0.1 0.05 seeds 0, 1, 0 (1/2) (3 as one): epoch 1/1, step 2/2" in said.err
    assert "report:" in said.out
    runs = find_runs([tmp_path / "runs"])
    assert [(each.status, each.lives[0].get("stack")) for each in sorted(runs, key=lambda one: one.name)] == [
        ("finished", 3),
        ("finished", None),
        ("finished", 3),
        ("finished", 3),
    ]
    assert run(command) == 0
    assert capsys.readouterr().err.count("finished before, nothing to do") == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--stack", "1"], "--stack is 1; allowed: 2 or more"),
        (["--stack", "2", "--jobs", "2"], "--stack trains in one process; leave out --jobs 2"),
    ],
)
def test_mistakes(options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(STUDY)
    assert run(["study", "run", str(path), "--runs", str(tmp_path / "runs"), *options]) == 2
    assert message in capsys.readouterr().err
