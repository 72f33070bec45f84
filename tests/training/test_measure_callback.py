"""The callback in somebody else's Trainer."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
import wandb
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import repro
from repro.errors import UserError

IMAGES = torch.randn(48, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(48) % 4


class Theirs(LightningModule):
    """A stranger's module: its layers are its own attributes, and its step is its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.head = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Linear(6, 4)
        self.losses: list[float] = []

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.norm(self.first(x)).relu().mean((2, 3)))
        return result

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def trained(*callbacks: Any, logger: Logger | bool = False, epochs: int = 2) -> Theirs:
    torch.manual_seed(0)
    module = Theirs()
    loader = DataLoader(TensorDataset(IMAGES, LABELS), batch_size=12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's hints
        Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            callbacks=list(callbacks),
            logger=logger,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
        ).fit(module, loader)
    return module


def test_two_lines_measure_anyones_training() -> None:
    images, labels = next(iter(DataLoader(TensorDataset(IMAGES, LABELS), batch_size=12)))
    callback = repro.MeasureCallback(images, labels)
    module = trained(callback)
    frame = callback.table()
    assert list(frame.columns) == ["step", "epoch", "measurement", "layer", "name", "mode", "quantity", "value"]
    assert sorted(set(frame["step"])) == [0, 4, 8]
    assert dict(zip(frame["layer"], frame["name"], strict=True))[2] == "head"
    last = frame[(frame["step"] == 8) & (frame["measurement"] == "weights") & (frame["name"] == "head")]
    sigma = last[(last["mode"] == "output") & (last["quantity"] == "sigma_max")]["value"].item()
    assert sigma == pytest.approx(torch.linalg.matrix_norm(module.head.weight, 2).item(), rel=1e-6)


def test_their_training_is_the_same_bit_for_bit() -> None:
    everything = repro.MeasureCallback(
        IMAGES[:12],
        LABELS[:12],
        held_out=IMAGES[12:24],
        measurements=list(repro.measurements.MEASUREMENTS),
        at_steps=[1, 2, 3],
    )
    plain, measured = trained(), trained(everything)
    assert plain.losses == measured.losses
    for name, value in plain.state_dict().items():
        assert torch.equal(value, measured.state_dict()[name]), name
    assert sorted(set(everything.table()["step"])) == [0, 1, 2, 3, 4, 8]


def test_some_measurements_may_be_taken_more_often_than_others(tmp_path: Path) -> None:
    callback = repro.MeasureCallback(
        IMAGES[:12],
        measurements=["weights"],
        every_n_steps={"distributions": 2, "weights": 3},
        every_n_epochs=2,
        directory=tmp_path / "out",
    )
    trained(callback)
    frame = callback.table()
    steps = {name: sorted(set(part["step"])) for name, part in frame.groupby("measurement")}
    assert steps == {"distributions": [0, 2, 4, 6, 8], "weights": [0, 3, 6, 8]}
    assert not frame.duplicated(["step", "measurement", "layer", "mode", "quantity"]).any()
    lines = [json.loads(line) for line in (tmp_path / "out" / "readings.jsonl").read_text().splitlines()]
    assert sum(len(line["values"]) for line in lines) == len(frame)


def test_updates_are_those_of_their_optimiser() -> None:
    callback = repro.MeasureCallback(IMAGES[:12], LABELS[:12], measurements=["updates", "gradients"])
    trained(callback)
    frame = callback.table()
    head = frame[(frame["layer"] == 2) & (frame["mode"] == "output") & (frame["quantity"] == "sigma_max")]
    by_step = {(step, name): part["value"].item() for (step, name), part in head.groupby(["step", "measurement"])}
    assert by_step[0, "updates"] == pytest.approx(0.1 * by_step[0, "gradients"], rel=1e-5)  # no momentum yet
    assert not math.isclose(by_step[8, "updates"], 0.1 * by_step[8, "gradients"], rel_tol=1e-3)


def test_their_logger_gets_numbers_to_plot(tmp_path: Path) -> None:
    callback = repro.MeasureCallback(IMAGES[:12])
    trained(callback, logger=CSVLogger(tmp_path, name="", version=""))
    logged = pd.read_csv(tmp_path / "metrics.csv")
    column = logged["condition_number/weights/maximum"].dropna()
    assert len(column) == 3
    frame = callback.table()
    kappa = frame[(frame["measurement"] == "weights") & (frame["quantity"] == "condition_number")]
    shown = kappa[(kappa["step"] == 0) & kappa["mode"].isin(["output", "input"])]["value"].max()
    assert column.iloc[0] == pytest.approx(shown)


@pytest.mark.slow
def test_their_wandb_logger_gets_tables_and_charts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    wandb.teardown()  # it reads the environment once, and another test may have made it do so
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # W&B's own
        logger = WandbLogger(save_dir=tmp_path, offline=True, project="theirs")
        monkeypatch.setitem(logger._wandb_init, "anonymous", None)
        logger._wandb_init.pop("anonymous")
        trained(repro.MeasureCallback(IMAGES[:12], every_n_steps={"distributions": 1}), logger=logger, epochs=1)
        logger.experiment.finish()
    assert {path.parent.name for path in tmp_path.rglob("*.png")} == {"charts"}
    assert {path.name.split("_")[0] for path in tmp_path.rglob("charts/*.png")} == {
        "weights",
        "representations",
        "distributions-activations",
        "distributions-outputs",
        "distributions-weights",
    }
    assert {path.name.split("_")[0] for path in tmp_path.rglob("*.table.json")} == {
        "weights",
        "representations",
        "distributions",
    }


def test_mistakes_are_refused_when_the_callback_is_made() -> None:
    with pytest.raises(UserError, match="unknown measurement 'weigths'; nearest: weights"):
        repro.MeasureCallback(IMAGES, measurements=["weigths"])
