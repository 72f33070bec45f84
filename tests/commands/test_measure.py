"""`repro measure` on a run and on any network."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from repro import cli
from repro.config import from_mapping
from repro.records import RunDirectory, readings, spectra
from repro.runs.start import start


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    config = from_mapping(
        {
            "model": {"network": "resnet8", "width": 4},
            "data": {"train_size": 64, "batch_size": 32, "test_size": 100, "evaluation_batch_size": 1000},
            "trainer": {"max_epochs": 2, "progress": "none", "accelerator": "cpu"},
            "measure": {"probe_size": 16},
            "log": {"wandb": "disabled"},
            "runs": str(tmp_path_factory.mktemp("runs")),
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return start(config).run


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Crops of two real photographs, a folder each."""
    folder = tmp_path_factory.mktemp("photographs")
    for name, photograph in zip(("temple", "flower"), load_sample_images().images, strict=True):
        (folder / name).mkdir()
        for number in range(4):
            crop = np.asarray(photograph)[40 * number : 40 * number + 240, 60 * number : 60 * number + 240]
            Image.fromarray(crop).save(folder / name / f"{number}.png")
    return folder


def test_a_run_is_measured_as_it_was_at_its_end(finished: RunDirectory, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert cli.run(["measure", str(finished.path), "--probe-size", "16", "--out", str(out)]) == 0
    frame = pd.read_csv(out / "readings.csv").fillna({"mode": ""})
    recorded = readings(finished)
    recorded = recorded[recorded["step"] == recorded["step"].max()].reset_index(drop=True)
    assert len(frame) == len(recorded)
    np.testing.assert_allclose(frame["value"], recorded["value"], rtol=1e-5)
    said = capsys.readouterr().out
    assert "weights" in said
    assert "8 layers: median κ" in said
    assert (out / "figures" / "weights.png").stat().st_size > 10_000
    assert json.loads((out / "measured.json").read_text())["images"] == 16


def test_all_singular_values_are_kept_if_asked_for(finished: RunDirectory, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    arguments = ["measure", str(finished.path), "--probe-size", "16", "--out", str(out), "--measurements", "weights"]
    assert cli.run([*arguments, "--spectra"]) == 0
    assert "spectra.jsonl" in capsys.readouterr().out
    kept, frame = spectra(out), pd.read_csv(out / "readings.csv")
    for quantity, place in (("sigma_max", 0), ("sigma_min", -1)):
        expected = frame[frame["quantity"] == quantity]["value"]
        np.testing.assert_allclose([values[place] for values in kept["singular_values"]], expected, rtol=1e-6)
    assert cli.run(["spectra", str(out)]) == 0
    assert "medians over the layers" in capsys.readouterr().out
    assert cli.run(arguments) == 0
    assert not (out / "spectra.jsonl").exists(), "those of another measuring"


def test_a_checkpoint_is_measured_with_its_optimisers_momentum(
    finished: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repro.figures.draw_measurements", lambda runs: {})  # that nobody looks at
    first = finished.saved_checkpoints()[0]
    out = tmp_path / "out"
    arguments = ["measure", str(first), "--probe-size", "16", "--out", str(out), "--measurements"]
    assert cli.run([*arguments, "updates", "gradients", "amplification"]) == 0
    frame = pd.read_csv(out / "readings.csv")
    assert set(frame["step"]) == {2}
    sigma = frame[(frame["quantity"] == "sigma_max") & (frame["mode"] == "output")].pivot_table(
        index="layer", columns="measurement", values="value"
    )
    assert (sigma["updates"] / sigma["gradients"]).std() > 1e-4  # momentum turns it
    assert (frame["measurement"] == "amplification").any()


NETS = """
from torch import nn
def half(num_classes, in_channels) -> nn.Module:
    return nn.Sequential(nn.Conv2d(in_channels, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 9)).half()
def double(num_classes, in_channels) -> nn.Module: return half(num_classes, in_channels).double()
def meta(num_classes, in_channels) -> nn.Module: return half(num_classes, in_channels).to("meta")
def narrow(num_classes, in_channels) -> nn.Module: return nn.Sequential(nn.Flatten(), nn.Linear(5, 9))
"""


@pytest.mark.parametrize(
    ("name", "said"), [("half", ""), ("double", ""), ("meta", "on the device meta"), ("narrow", "refuses the inputs")]
)
def test_networks_of_another_precision_or_none(
    name: str, said: str, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    (tmp_path / "odd_nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("repro.runs.threads.prepared", lambda: True)  # as in the command of its own
    monkeypatch.setattr("torch.set_num_threads", lambda number: None)
    monkeypatch.setattr("repro.figures.draw_measurements", lambda runs: {})
    arguments = ["measure", f"odd_nets:{name}", "--images", str(photographs), "--probe-size", "4"]
    assert cli.run([*arguments, "--measurements", "weights", "--out", str(tmp_path / "out")]) == (2 if said else 0)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", ["timm/resnet10t", "timm/vit_tiny_patch16_224", "resnet20"])
@pytest.mark.slow
def test_any_network_is_measured_on_photographs(name: str, photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["measure", name, "--images", str(photographs), "--out", str(out), "--probe-size", "4"]
    assert cli.run([*arguments, "--measurements", "weights", "representations", "gradients", "distance"]) == 0
    frame = pd.read_csv(out / "readings.csv")
    assert set(frame["measurement"]) == {"weights", "representations", "gradients", "distance"}
    kappa = frame[(frame["measurement"] == "weights") & (frame["quantity"] == "condition_number")]["value"]
    assert (kappa >= 1).all()
    assert {path.stem for path in (out / "figures").glob("*.svg")} == {
        "weights",
        "representations",
        "gradients",
        "distance",
    }


def test_pictures_in_one_folder_have_no_classes(photographs: Path, tmp_path: Path, capsys) -> None:
    arguments = ["measure", "timm/resnet10t", "--images", str(photographs / "temple"), "--out", str(tmp_path / "out")]
    assert cli.run([*arguments, "--measurements", "gradients"]) == 2
    assert "gradients need the classes" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere/run"], "'nowhere/run' does not exist; name a run directory, a checkpoint or a network"),
        (["resnet20"], "resnet20 needs images to look at: --images DIR"),
        (["resnet21", "--images", "."], "nearest 20 and 26"),
        (["resnet20", "--images", "missing"], "'missing' is not a folder of images"),
        (["resnet20", "--images", "."], "holds 0 images"),
        (["resnet20", "--images", ".", "--measurements", "wieghts"], "nearest: weights"),
        (["resnet20", "--images", ".", "--probe-size", "1"], "--probe-size is 1; allowed: 2 or more"),
        (["resnet20", "--images", ".", "--device", "tpu9"], "--device tpu9 is not available"),
        (["resnet20", "--image", "."], "unknown flag '--image'; nearest: --images"),
    ],
)
def test_mistakes_end_in_one_line(arguments: list[str], message: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["measure", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_damaged_checkpoint_is_named(finished: RunDirectory, tmp_path: Path, capsys) -> None:
    broken = finished.checkpoints / "step-99999999.ckpt"
    broken.write_bytes(b"not a checkpoint")
    try:
        assert cli.run(["measure", str(broken), "--out", str(tmp_path / "out")]) == 2
    finally:
        broken.unlink()
    assert "cannot use checkpoint" in capsys.readouterr().err


def test_no_pretrained_weights_is_one_line(photographs: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    arguments = [
        "measure",
        "timm/resnet10t",
        "--pretrained",
        "--images",
        str(photographs),
        "--out",
        str(tmp_path / "o"),
    ]
    assert cli.run(arguments) == 2
    assert "could not get the pretrained weights" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--seed=3", "--num-classes=5", "--held-out=nowhere", "--pretrained", "--images=x"])
def test_what_goes_with_a_networks_name_is_not_passed_over_with_a_run(
    finished: RunDirectory, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["measure", str(finished.path), flag]) == 2
    assert f"{flag.split('=')[0]} goes with a network's name" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flag", ["--seed=-1", f"--seed={2**64}", "--seed=1_0", "--seed=٣", "--probe-size=٣", "--num-classes=0"]
)
def test_numbers_that_nobody_means(flag: str, photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["measure", "timm/resnet10t", "--images", str(photographs), flag]) == 2
    assert capsys.readouterr().err.count("\n") == 1
