"""The callback in somebody else's Trainer."""

from __future__ import annotations

import copy
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
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import repro
from repro.errors import UserError
from repro.networks import weight_layers
from repro.training.spectral_penalty import total_spread, weight_matrices

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


def trained(
    *callbacks: Any,
    logger: Logger | bool = False,
    epochs: int = 2,
    module: LightningModule | None = None,
    data: Any = None,
    **options: Any,
) -> Any:
    torch.manual_seed(0)
    module = module or Theirs()
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
            **options,
        ).fit(module, loader if data is None else data)
    return module


def test_two_lines_measure_anyones_training() -> None:
    images, labels = next(iter(DataLoader(TensorDataset(IMAGES, LABELS), batch_size=12)))
    callback = repro.MeasureCallback(images, labels)
    module = trained(callback)
    frame = callback.table()
    columns = ["step", "epoch", "measurement", "layer", "name", "mode", "quantity", "value", "kind"]
    assert list(frame.columns) == columns
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


class ClipsItself(Theirs):
    def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
        pass


@pytest.mark.parametrize("kind", ["norm", "value", None])
def test_updates_are_clipped_as_the_trainer_clips(kind: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    limit, module = (1e-2, Theirs()) if kind else (None, ClipsItself())
    callback = repro.MeasureCallback(IMAGES[:12], LABELS[:12], measurements=["updates"])
    twin = copy.deepcopy(module)
    trained(callback, module=module, epochs=1, gradient_clip_val=limit, gradient_clip_algorithm=kind)
    F.cross_entropy(twin.train()(IMAGES[:12]), LABELS[:12]).backward()
    if kind == "norm":
        nn.utils.clip_grad_norm_(twin.parameters(), 1e-2)
    elif kind == "value":
        nn.utils.clip_grad_value_(twin.parameters(), 1e-2)
    rows = callback.table().query("step == 0 and name == 'head' and mode == 'output' and quantity == 'sigma_max'")
    expected = 0.1 * torch.linalg.matrix_norm(twin.head.weight.grad, 2).item()
    assert rows["value"].item() == pytest.approx(expected, rel=1e-5)
    assert ("updates are without its own clipping" in capsys.readouterr().err) == (kind is None)


@pytest.mark.parametrize("first", [False, True])
def test_the_end_is_of_the_weights_that_are_left_also_averaged_ones(first: bool) -> None:
    callback, averages = repro.MeasureCallback(IMAGES[:12], measurements=["weights"]), WeightAveraging()
    module = trained(*((averages, callback) if first else (callback, averages)), epochs=1)
    for _ in range(2):
        rows = callback.table().query("step == 4 and name == 'head' and mode == 'output' and quantity == 'sigma_max'")
        assert rows["value"].item() == pytest.approx(torch.linalg.matrix_norm(module.head.weight, 2).item(), rel=1e-6)
        module = trained(callback, epochs=1)  # a second training begins a table of its own


def test_a_weight_that_is_used_in_another_way_is_measured_in_that_way() -> None:
    class Later(Theirs):
        def forward(self, x: Tensor) -> Tensor:
            weight = self.head.weight if self.global_step < 4 else self.head.weight.sign()
            return F.linear(self.first(x).relu().mean((2, 3)), weight)

    callback = repro.MeasureCallback(IMAGES[:12], measurements=["weights"])
    module = trained(callback, module=Later(), epochs=1)
    rows = callback.table().query("step == 4 and name == 'head' and mode == 'output' and quantity == 'sigma_max'")
    expected = torch.linalg.matrix_norm(module.head.weight.sign(), 2).item()
    assert rows["value"].item() == pytest.approx(expected, rel=1e-6)
    assert list(repro.MeasureCallback(IMAGES).table())[:2] == ["step", "epoch"], "also before a training"


def test_their_logger_gets_numbers_to_plot(tmp_path: Path) -> None:
    callback = repro.MeasureCallback(IMAGES[:12])
    trained(callback, logger=CSVLogger(tmp_path, name="", version=""))
    logged = pd.read_csv(tmp_path / "metrics.csv")
    column = logged["condition_number/weights/largest_finite"].dropna()
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
    assert not list(tmp_path.rglob("*.png"))
    assert {
        (path.parent.name, path.name.rpartition("_")[0].rpartition("_")[0]) for path in tmp_path.rglob("*.json")
    } >= {
        ("charts", "weights_table"),
        ("charts", "representations_table"),
        ("readings", "weights"),
        ("readings", "representations"),
        ("readings", "distributions"),
    }


def test_mistakes_are_refused_when_the_callback_is_made() -> None:
    with pytest.raises(UserError, match="unknown measurement 'weigths'; nearest: weights"):
        repro.MeasureCallback(IMAGES, measurements=["weigths"])


def steps(callback: Any) -> list[tuple[int, int]]:
    """What was measured when: step and epoch."""
    frame = callback.table()
    assert not frame.duplicated(["step", "measurement", "layer", "mode", "quantity"]).any()
    return sorted(set(zip(frame["step"].tolist(), frame["epoch"].tolist(), strict=True)))


def test_the_epoch_is_0_before_training_and_then_counts_from_1() -> None:
    callback = repro.MeasureCallback(IMAGES[:12], measurements=["weights"], at_steps=[2, 5])
    trained(callback)
    assert steps(callback) == [(0, 0), (2, 1), (4, 1), (5, 2), (8, 2)]


def test_added_up_gradients_are_one_step() -> None:
    callback = repro.MeasureCallback(IMAGES[:12], measurements=[], every_n_steps={"weights": 1})
    trained(callback, accumulate_grad_batches=2)
    assert steps(callback) == [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2)]


def test_steps_may_be_spaced_by_their_logarithm() -> None:
    callback = repro.MeasureCallback(IMAGES[:12], measurements=["weights"], at_steps="log", every_n_epochs=9)
    trained(callback, epochs=5)
    assert [step for step, _ in steps(callback)] == [0, 1, 2, 4, 8, 16, 20]


class Stops(Callback):
    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.global_step >= 6


@pytest.mark.parametrize("how", ["max_steps", "stopped", "max_time"])
def test_the_end_is_measured_whatever_brought_it(how: str) -> None:
    callback = repro.MeasureCallback(IMAGES[:12], measurements=["weights"], every_n_epochs=10**6)
    if how == "max_steps":
        trained(callback, epochs=20, max_steps=6)
    elif how == "stopped":
        trained(callback, Stops(), epochs=20, min_epochs=0)
    else:
        trained(callback, epochs=200_000, max_time={"seconds": 1})
    measured = steps(callback)
    assert measured[0] == (0, 0)
    assert len(measured) == 2
    if how != "max_time":
        assert measured[1] == (6, 2)


class ByCriterion(Theirs):
    """A stranger's module that keeps its loss, and adds a penalty by hand."""

    def __init__(self, criterion: Any) -> None:
        super().__init__()
        self.criterion = criterion


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("criterion", [nn.MultiMarginLoss(), F.multi_margin_loss], ids=["module", "function"])
def test_gradients_are_of_the_loss_that_is_trained(
    criterion: Any, given: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    square = lambda scores, labels: (scores - F.one_hot(labels, 4)).square().mean()  # noqa: E731
    callback = repro.MeasureCallback(
        IMAGES[:12], LABELS[:12], measurements=["gradients"], loss=square if given else None
    )
    torch.manual_seed(0)
    module = ByCriterion(criterion)
    torch.manual_seed(0)
    twin = ByCriterion(criterion)
    trained(callback, module=module, epochs=1)
    loss = (square if given else twin.criterion)(twin.train()(IMAGES[:12]), LABELS[:12])
    loss.backward()
    frame = callback.table()
    first = frame[(frame["step"] == 0) & (frame["name"] == "head") & (frame["quantity"] == "sigma_max")]
    expected = torch.linalg.matrix_norm(twin.head.weight.grad, 2).item()
    assert first["value"].iloc[0] == pytest.approx(expected, rel=1e-5)
    said = capsys.readouterr().err
    assert said.count("repro: seen: 100 % of 186 matrix parameters") == 1
    name = getattr(criterion, "__name__", "MultiMarginLoss")
    assert ("the loss given" if given else f"ByCriterion.criterion ({name})") in said


class Pair(LightningModule):
    """A generator and a discriminator with an optimiser each, and no forward."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator = nn.Linear(4, 192), nn.Linear(192, 1)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        fake = self.generator(torch.ones(len(batch[0]), 4))
        for optimizer, loss in zip(
            self.optimizers(),
            (self.discriminator(fake).mean(), -self.discriminator(fake.detach()).mean()),
            strict=True,
        ):
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(part.parameters(), lr=0.1) for part in (self.generator, self.discriminator)]


def test_a_part_of_a_module_with_several_optimisers_is_measured() -> None:
    callback = repro.MeasureCallback(
        torch.randn(6, 192),
        network="discriminator",
        loss=lambda scores, _: scores.mean(),
        measurements=["weights", "updates"],
    )
    trained(callback, module=Pair(), epochs=1)
    assert [step for step, _ in steps(callback)] == [0, 8]
    for network, message in (
        (None, "Pair has no forward; pass network= .*generator, discriminator"),
        ("no", "is no module of Pair"),
    ):
        with pytest.raises(UserError, match=message):
            trained(repro.MeasureCallback(torch.randn(6, 4), network=network), module=Pair(), epochs=1)


class Quasi(Theirs):
    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.LBFGS(self.parameters(), max_iter=2)


def test_an_optimiser_that_calls_the_step_itself_is_measured() -> None:
    callback = repro.MeasureCallback(IMAGES[:12], LABELS[:12], measurements=["weights", "gradients"])
    trained(callback, module=Quasi(), epochs=1)
    assert [step for step, _ in steps(callback)] == [0, 4]
    with pytest.raises(UserError, match="updates cannot be taken of LBFGS"):
        trained(repro.MeasureCallback(IMAGES[:12], LABELS[:12], measurements=["updates"]), module=Quasi(), epochs=1)


@pytest.mark.parametrize("precision", ["bf16-true", "bf16-mixed", "64-true"])
def test_every_precision_of_lightnings_is_measured(precision: Any) -> None:
    callback = repro.MeasureCallback(IMAGES[:12], LABELS[:12], measurements=["weights", "representations", "gradients"])
    trained(callback, epochs=1, precision=precision)
    assert [step for step, _ in steps(callback)] == [0, 4]


@pytest.mark.parametrize("network", ["plainnet8", "diracnet8"])
def test_our_modules_objective_is_what_is_measured(network: str) -> None:
    parts = repro.build(
        model={"network": network, "width": 4},
        data={"train_size": 40, "batch_size": 20},
        training={"loss": "square", "spectral_penalty": 0.1},
        measure={"probe_size": 6},
    )
    callback = repro.MeasureCallback(
        torch.randn(6, 1, 28, 28), LABELS[:6], measurements=["gradients"], every_n_epochs=9
    )
    twin = copy.deepcopy(parts.module.network)
    inputs = callback.inputs.clone()
    trained(callback, module=parts.module, epochs=1, data=parts.data, max_steps=1)
    targets = F.one_hot(LABELS[:6], 10)
    scores = twin.train()(inputs)
    loss = (scores - targets).square().sum() / 12 + 0.1 * total_spread(weight_matrices(twin))
    loss.backward()
    frame = callback.table()
    for layer in weight_layers(twin):
        found = frame[(frame["step"] == 0) & (frame["layer"] == layer.index) & (frame["mode"] == "output")]
        expected = torch.linalg.matrix_norm(layer.module.weight.grad.double().flatten(1), 2).item()
        assert found[found["quantity"] == "sigma_max"]["value"].item() == pytest.approx(expected, rel=1e-4)
