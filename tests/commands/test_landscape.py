from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from repro.cli import run
from repro.commands.landscape import _part
from repro.records.surface import SurfaceRecord

FIT = [
    "fit",
    "--model.network=mlp",
    "--model.hidden=[12,8]",
    "--model.activation=softplus",
    "--model.skip_neurons=16",
    "--data.train_size=64",
    "--data.batch_size=32",
    "--data.evaluation_batch_size=1000",
    "--measure.measurements=[]",
    "--training.learning_rate=0.01",
    "--trainer.max_epochs=4",
    "--trainer.keep_checkpoints=9",
    "--trainer.progress=none",
    "--trainer.accelerator=cpu",
]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["nowhere"], ["'nowhere' does not exist"]),
        (["nowhere", "--points", "1"], ["--points is 1", "2 to 2,001"]),
        (["nowhere", "--radius", "0"], ["--radius is 0.0", "above 0"]),
        (["nowhere", "--part", "3/2"], ["--part is '3/2'", "i/n"]),
        (["nowhere", "--part", "1/2", "--again"], ["--again goes with one part"]),
        (["nowhere", "--directions", "pcb"], ["pcb", "pca"]),
        (["configs/nguyen-mnist5k.yaml"], ["has not been run", "repro fit --config"]),
        (["nowhere/step-1.ckpt"], ["there is no checkpoint"]),
    ],
)
def test_mistakes_are_answered_in_a_line(
    arguments: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["landscape", *arguments]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert all(part in shown for part in parts)


def test_the_part_comes_from_the_flag_the_array_or_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_PROCID", "SLURM_NTASKS", "WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    assert _part(None) == (1, 1)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "2")
    assert _part(None) == (3, 4)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "5")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "10")
    assert _part(None) == (3, 10)
    assert _part("2/8") == (2, 8)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    assert run([*FIT, f"--runs={folder}"]) == 0
    (found,) = (folder / "single").iterdir()
    return found


@pytest.mark.slow
def test_parts_and_a_stopped_run_give_the_whole_surface(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--points", "5", "--samples", "40", "--device", "cpu"]
    out = trained.parent / "whole"
    assert run(["landscape", str(trained), *flags, "--out", str(out)]) == 0
    assert "25 of 25 points" in capsys.readouterr().out
    whole = SurfaceRecord(out).read("whole")
    assert np.isfinite(whole.loss).all()
    assert (out / "surface.png").stat().st_size > 10_000
    for number in (2, 1):
        assert run(["landscape", str(trained), *flags, "--part", f"{number}/2", "--batch-size", "16"]) == 0
    shown = capsys.readouterr().out
    assert "10 of 25 points" in shown
    assert "15 points are missing" in shown
    parts = SurfaceRecord(trained / "landscape").read("parts")
    np.testing.assert_allclose(parts.loss, whole.loss, rtol=1e-5)
    assert (trained / "landscape" / "surface.svg").exists()
    # Resuming computes what a kill has cost, and nothing else.
    file = trained / "landscape" / "values-1of2.jsonl"
    file.write_text("\n".join(file.read_text().splitlines()[:-3]) + '\n{"poi')
    assert run(["landscape", str(trained), *flags]) == 0
    assert "3 of 25 points" in capsys.readouterr().out
    assert run(["landscape", str(trained), *flags, "--seed", "5"]) == 2
    assert "another surface: seed is 0 there and 5 here" in capsys.readouterr().err
    shutil.rmtree(trained / "landscape")


@pytest.mark.slow
@pytest.mark.parametrize("directions", ["filter", "pca"])
def test_other_directions(directions: str, trained: Path) -> None:
    out = trained.parent / directions
    checkpoint = sorted((trained / "checkpoints").iterdir())[-1]
    given = ["landscape", str(checkpoint), "--directions", directions, "--points", "3", "--device", "cpu"]
    assert run([*given, "--out", str(out)]) == 0
    surface = SurfaceRecord(out).read("s")
    assert np.isfinite(surface.loss).all()
    assert len(surface.path) == (4 if directions == "pca" else 0)
