"""What first readings foretell, against records whose answer is known."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from repro.cli import run as repro
from repro.config import from_mapping, to_yaml
from repro.records import RunDirectory
from repro.studies.forecast import Forecast, cases, forecasts, held_out, threshold

KAPPA = "median κ of the weights"
BEFORE, EARLY = "before training", "after at most 20 steps"


def write(
    folder: Path, study: str, seed: int, *, accuracy: float | None, kappas: dict[int, float], data: str = "MNIST5k"
) -> None:
    """A run that ends at an accuracy (None: diverged), with one κ for its two layers at each step."""
    config = from_mapping({"model.network": "resnet8", "data.name": data, "seed": seed})
    run = RunDirectory.prepare(folder / study / f"run{study}{seed}", to_yaml(config))
    for step, kappa in kappas.items():
        values = {"condition_number": kappa, "sigma_max": 1.0, "sigma_min": 1 / kappa}
        layers = [
            {"measurement": "weights", "layer": n, "name": f"l{n}", "mode": "output", "values": values} for n in (1, 2)
        ]
        run.append_readings(step, int(step > 0), layers)
    run.append_metrics(10, 0, {"step/cross_entropy": 2.0 + seed / 100})
    final = {"train_accuracy": accuracy} if accuracy is not None else None
    run.update_state(status="finished" if final else "diverged", final=final)


def told(found: Sequence[Forecast], when: str, reading: str = KAPPA) -> Forecast:
    (one,) = [each for each in found if (each.when, each.reading) == (when, reading)]
    return one


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """κ before training says nothing, κ after 5 steps all; at 40 steps it is too late to count as early."""
    draw = random.Random(0)
    for study in ("a", "b", "c"):
        for seed in range(6):
            accuracy = 0.1 * (seed + 1)
            kappas = {0: draw.uniform(2, 3), 5: 100 / accuracy, 40: accuracy}
            write(tmp_path, study, seed, accuracy=accuracy if seed else None, kappas=kappas)
    write(tmp_path, "c", 9, accuracy=0.9, kappas={30: 1.0})  # not measured before training
    return tmp_path


def test_a_reading_that_decides_the_outcome_tells_it(folder: Path) -> None:
    found, _ = cases([folder])
    assert len(found) == 18
    assert {case.score for case in found if not case.trains} == {0.0}, "10 % is chance, and so is what diverged"
    assert sum(case.trains for case in found) == 15
    early = told(forecasts(found), EARLY)
    assert early.rho == pytest.approx(-1)
    assert (early.precision, early.recall) == (1.0, 1.0)
    assert 100 / 0.2 < early.threshold < 100 / 0.1
    before = told(forecasts(found), BEFORE)
    table = pd.DataFrame({"x": before.values, "y": [case.score for case in before.cases]})
    assert before.rho == pytest.approx(table["x"].rank().corr(table["y"].rank()))
    assert abs(before.rho) < 0.5
    assert not [each for each in forecasts(found) if each.reading.startswith("share")], "all alike: it tells nothing"


def test_a_run_counts_once_and_no_number_counts_as_singular(folder: Path) -> None:
    for seed in range(6):
        (folder / "d").mkdir(exist_ok=True)
        (folder / "a" / f"runa{seed}").rename(folder / "d" / f"runa{seed}")
    write(folder, "a", 0, accuracy=0.1, kappas={0: math.nan, 5: math.inf})
    write(folder, "a-smoke", 7, accuracy=0.9, kappas={0: 1.0})
    write(folder, "own", 8, accuracy=0.9, kappas={0: 1.0}, data="ImageFolder")  # of classes that are not known
    (folder / "b" / "runb0").rename(folder / "b" / "runb0.1")
    write(folder, "b", 0, accuracy=None, kappas={0: 2.0, 5: 1000.0})
    found, _ = cases([folder / name for name in ("a", "b", "c", "d", "a-smoke", "own")])
    assert len(found) == 18, "runa0 is in two studies"
    (odd,) = [case for case in found if case.name == "runa0"]
    assert odd.study == "a"
    assert (odd.before[KAPPA], odd.early[KAPPA]) == (math.inf, math.inf)


def test_the_threshold_is_that_of_the_other_groups() -> None:
    values, outcomes, groups = (
        [1.0, 2.0, 8.0, 9.0, 5.0, 6.0],
        [True, True, False, False, True, False],
        ["a"] * 4 + ["b"] * 2,
    )
    assert threshold(values, outcomes) == 5.5
    assert threshold([1.0, 2.0, math.inf], [True, True, False]) == 2
    assert threshold([1.0, 2.0], [False, True]) == -math.inf, "large values that train give no threshold"
    assert held_out(values, outcomes, groups) == [True, True, False, False, True, False]
    assert held_out([1.0, 9.0, 3.0, 4.0], [True, False, True, False], list("aabb")) == [True, False, True, True], (
        "5 and 3.5"
    )


def test_the_command_prints_it_and_says_when_there_is_too_little(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert repro(["study", "forecast", str(folder), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "18 runs of 3 studies" in said
    assert f"| {EARLY} | {KAPPA} | 18 | 15 | −1.00 |" in said
    assert (tmp_path / "out" / "forecast.md").read_text(encoding="utf-8").startswith("| when | reading |")
    assert "<svg" in (tmp_path / "out" / "forecast.svg").read_text(encoding="utf-8")
    assert repro(["study", "forecast", str(folder / "a")]) == 2
    assert "needs 8 of two studies" in capsys.readouterr().err
