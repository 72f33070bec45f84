"""Runs trained as one are the runs trained alone."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from repro.config import Config, from_mapping
from repro.data.batches import Batches
from repro.errors import UserError
from repro.records import RunDirectory, metrics, readings
from repro.training import experiment, stack_memory
from repro.training.classifier import Classifier
from repro.training.fit import Life
from repro.training.interrupt import Interrupted
from repro.training.runs import Outcome, locate, start, start_stack

BASE: dict[str, Any] = {
    "model.network": "resnet8",
    "model.width": 4,
    "data.name": "MNIST5k",
    "data.batch_size": 32,
    "data.train_size": 100,
    "data.validation_size": 50,
    "data.evaluation_batch_size": 1000,
    "data.augmentation": "crop_flip",
    "training.warmup_steps": 2,
    "training.learning_rate": 0.05,
    "trainer.max_epochs": 2,
    "trainer.progress": "none",
    "trainer.accelerator": "cpu",
    "measure.measurements": ["weights", "representations", "gradients", "updates"],
    "measure.probe_size": 16,
    "measure.every_n_epochs": 2,
    "log.every_n_steps": 1,
}


def configs(runs: Path, *members: dict[str, Any], **base: Any) -> list[Config]:
    shared = {key.replace("__", "."): value for key, value in base.items()}
    return [from_mapping({**BASE, **shared, **member, "runs": str(runs)}) for member in members]


def seeds(*numbers: int) -> list[dict[str, Any]]:
    return [{"seed": number} for number in numbers]


def weights(run: RunDirectory) -> dict[str, Tensor]:
    content = torch.load(run.saved_checkpoints()[-1], weights_only=True)
    optimiser = content["optimizer_states"][0]["state"]
    return {**content["state_dict"], **{f"momentum{n}": state["momentum_buffer"] for n, state in optimiser.items()}}


def table(run: RunDirectory) -> tuple[list[Any], list[float]]:
    """Keys and values of everything that is recorded."""
    keys: list[Any] = []
    values: list[float] = []
    for frame in (metrics(run), readings(run)):
        columns = [name for name in frame.columns if name != "value"]
        keys += frame[columns].fillna("").to_numpy().tolist()
        values += frame["value"].tolist()
    return keys, values


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights and images in float64: rounding, which deep networks blow up within a few steps, stays small."""
    create, blank, connect, normalise = (
        experiment.create_network,
        experiment._blank,
        experiment._connected,
        Batches.normalise,
    )
    monkeypatch.setattr(experiment, "_blank", lambda data: blank(data).double())
    monkeypatch.setattr(experiment, "_connected", lambda *parts: connect(*parts).double())
    monkeypatch.setattr(experiment, "create_network", lambda *names, **options: create(*names, **options).double())
    monkeypatch.setattr(Batches, "normalise", lambda self, pixels: normalise(self, pixels).double())


def _clipped(values: list[float]) -> list[float]:
    """Above 1e10 a condition number is rounding, even of float64."""
    return [min(value, 1e10) for value in values]


def same(stacked: Sequence[Outcome], alone: Sequence[Outcome], *, within: float) -> None:
    for ours, theirs in zip(stacked, alone, strict=True):
        assert ours.run.name == theirs.run.name
        keys, values = table(ours.run)
        assert (keys, len(values) > 50) == (table(theirs.run)[0], True)
        assert _clipped(values) == pytest.approx(_clipped(table(theirs.run)[1]), rel=within, abs=within, nan_ok=True)
        mine, reference = weights(ours.run), weights(theirs.run)
        assert mine.keys() == reference.keys()
        for name, value in reference.items():
            torch.testing.assert_close(mine[name], value, rtol=within, atol=within, msg=name)
        assert ours.state["final"] == pytest.approx(theirs.state["final"], rel=within)
        assert (ours.state["best"]["step"], ours.state["step"]) == (theirs.state["best"]["step"], theirs.state["step"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="residual"),
        pytest.param({"model__network": "plainnet8", "training__loss": "square"}, id="plain"),
        pytest.param({"model__network": "resnext11"}, id="aggregated"),
        pytest.param({"model__network": "diracnet8", "data__augmentation": "none"}, id="dirac"),
        pytest.param(
            {"model__network": "cnn13", "model__skip_neurons": 100, "model__width": 4},
            id="skip",
        ),
        pytest.param(
            {"model__network": "cnn13", "model__skip_neurons": 60, "model__skip_head": "replace", "model__width": 4},
            id="skip-replace",
        ),
    ],
)
@pytest.mark.usefixtures("double")
def test_each_run_is_the_run_alone(changes: dict[str, Any], tmp_path: Path) -> None:
    members = [
        {"seed": 0},
        {"seed": 1, "training.learning_rate": 0.02, "training.momentum": 0.5},
        {"seed": 2, "data.seed": 3, "training.weight_decay": 0.01, "training.milestones": [0.3]},
    ]
    if "model__skip_neurons" in changes:
        members = [{**member, "model.skip_seed": number} for number, member in enumerate(members)]
    stacked = start_stack(configs(tmp_path / "stacked", *members, **changes), label="stack")
    alone = [start(config) for config in configs(tmp_path / "alone", *members, **changes)]
    same(stacked, alone, within=1e-5)
    for outcome in stacked:
        assert outcome.run.lives[0]["stack"] == 3
        assert outcome.state["seconds"] > 0


@pytest.mark.slow
def test_images_are_held_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from repro.data import batches as module

    made = []

    class Counted(module.Crops):
        def __init__(self, *arguments: Any) -> None:
            made.append(self)
            super().__init__(*arguments)

    monkeypatch.setattr(module, "Crops", Counted)
    start_stack(configs(tmp_path, *seeds(0, 1, 2), trainer__max_epochs=1), label="stack")
    assert len(made) == 1


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [2, 4])
def test_a_stack_goes_on_bit_for_bit_and_its_runs_alone(
    stop_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = [{"seed": 0}, {"seed": 1, "training.momentum": 0.5}]
    whole = start_stack(configs(tmp_path / "whole", *members), label="stack")
    parts = configs(tmp_path / "parts", *members)
    objective = Classifier.objective

    def interrupted(self: Classifier, *arguments: Any) -> Tensor:
        if self.trainer.global_step == stop_at - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return objective(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "objective", interrupted)
        with pytest.raises(Interrupted, match=f"stopped at step {stop_at}"):
            start_stack(parts, label="stack")
    for config in parts:
        run = locate(config, Config())
        assert (run.status, run.state["step"]) == ("interrupted", stop_at)
    for ours, theirs in zip(start_stack(parts, label="stack"), whole, strict=True):
        assert table(ours.run) == table(theirs.run)
        for name, value in weights(theirs.run).items():
            assert torch.equal(weights(ours.run)[name], value), name
        assert len(ours.run.lives) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("double")
def test_a_run_goes_on_alone_where_its_stack_has_stopped_and_the_other_way_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members, changes = seeds(0, 1), {"measure__measurements": ["weights"]}
    alone = [start(config) for config in configs(tmp_path / "alone", *members, **changes)]
    first = configs(tmp_path / "first", *members, **changes, trainer__max_epochs=1)
    second = configs(tmp_path / "first", *members, **changes)
    start_stack(first, label="stack")
    # A longer run has its rates' milestones elsewhere: this one is held against one that is extended as well.
    extended = [start(config) for config in configs(tmp_path / "two", *members, **changes, trainer__max_epochs=1)]
    assert [each.state["step"] for each in extended] == [4, 4]
    same(
        [start(config) for config in second],
        start_stack(configs(tmp_path / "two", *members, **changes), label="stack"),
        within=1e-7,
    )
    assert [each.state["step"] for each in alone] == [8, 8]


@pytest.mark.slow
def test_runs_at_different_steps_are_not_stacked(tmp_path: Path) -> None:
    members = seeds(0, 1, 2)
    start(configs(tmp_path, *members, trainer__max_epochs=1)[0])
    outcomes = start_stack(configs(tmp_path, *members), label="stack")
    assert [each.state["step"] for each in outcomes] == [8, 8, 8]
    assert ["stack" in each.run.lives[-1] for each in outcomes] == [False, True, True]


@pytest.mark.slow
def test_a_torn_newest_checkpoint_sends_all_back_to_the_one_before(tmp_path: Path) -> None:
    members = seeds(0, 1)
    first = start_stack(configs(tmp_path, *members), label="stack")
    torn = first[1].run.saved_checkpoints()[-1]
    torn.write_bytes(torn.read_bytes()[:1000])
    outcomes = start_stack(configs(tmp_path, *members, trainer__max_epochs=3), label="stack")
    assert [each.state["step"] for each in outcomes] == [12, 12]
    assert ["stack" in each.run.lives[-1] for each in outcomes] == [True, True]


@pytest.mark.slow
def test_one_that_diverges_harms_no_other(tmp_path: Path) -> None:
    members = [{"seed": 0}, {"seed": 1, "training.warmup_learning_rate": 1e30}, {"seed": 2}]
    stacked = start_stack(configs(tmp_path / "stacked", *members), label="stack")
    assert [each.state["status"] for each in stacked] == ["finished", "diverged", "finished"]
    assert "the training loss is" in stacked[1].state["reason"]
    assert stacked[1].run.saved_checkpoints() == []
    calm = [members[0], {"seed": 1}, members[2]]
    other = start_stack(configs(tmp_path / "calm", *calm), label="stack")
    for number in (0, 2):
        assert table(stacked[number].run) == table(other[number].run)


def test_all_diverge(tmp_path: Path) -> None:
    members = [{"seed": seed, "training.warmup_learning_rate": 1e30} for seed in (0, 1)]
    outcomes = start_stack(configs(tmp_path, *members), label="stack")
    assert [each.state["status"] for each in outcomes] == ["diverged", "diverged"]


def test_finished_ones_are_left_alone(tmp_path: Path) -> None:
    members = configs(tmp_path, *seeds(0, 1), trainer__max_epochs=1)
    assert [each.action for each in start_stack(members, label="stack")] == ["trained", "trained"]
    assert [each.action for each in start_stack(members, label="stack")] == ["skipped", "skipped"]


def test_where_one_cannot_begin_none_stays_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opens = Life.open

    def second_fails(life: Life, **facts: Any) -> None:
        if life.config.seed == 1:
            raise ValueError("no second")
        opens(life, **facts)

    monkeypatch.setattr(Life, "open", second_fails)
    both = configs(tmp_path, *seeds(0, 1))
    with pytest.raises(ValueError, match="no second"):
        start_stack(both, label="two")
    assert [locate(config, Config()).state.get("status") for config in both] == ["failed", "created"]


def test_a_stack_too_large_for_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = 3.5 * stack_memory.step_bytes(experiment.create_network("resnet8", width=4), torch.zeros(1, 3, 32, 32), 32)
    monkeypatch.setattr(stack_memory, "available_memory", lambda: free)
    members = configs(tmp_path, *seeds(0, 1, 2, 3))
    with pytest.raises(UserError, match=r"a stack of 4 takes about .* GB a step, .* GB are free; --stack [23] would"):
        start_stack(members, label="stack")
    assert list(tmp_path.glob("*/*/config.yaml")) == []


def test_what_a_step_holds_is_what_autograd_keeps() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 100), nn.Tanh(), nn.Linear(100, 10))
    parameters = 784 * 100 + 100 + 100 * 10 + 10
    # Kept by the backward pass: the input of either linear layer, of which the second is tanh's own result.
    expected = 4 * 4 * parameters + 4 * 64 * (784 + 100)
    assert stack_memory.step_bytes(network, torch.zeros(1, 1, 28, 28), 64) == expected


class Dropping(nn.Module):
    """A network that draws in every step."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(784 * in_channels, num_classes))

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.layers(images)
        return scores


class Deciding(Dropping):
    """A network that looks at values."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__(num_classes, in_channels)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784 * in_channels, num_classes))

    def forward(self, images: Tensor) -> Tensor:
        scores = super().forward(images)
        return scores if scores.sum() > 0 else -scores


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("Dropping", "'layers.1' is a Dropout, which draws at random in every step; run it without --stack"),
        ("Deciding", "Deciding cannot be stacked: .*; run it without --stack"),
    ],
)
def test_networks_that_cannot_be_stacked_are_refused(
    network: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {"Dropping": Dropping, "Deciding": Deciding}
    monkeypatch.setattr(experiment, "create_network", lambda *_names, **_options: kinds[network]())
    with pytest.raises(UserError, match=message):
        start_stack(configs(tmp_path, *seeds(0, 1)), label="stack")
    assert [each.state["status"] for each in map(start, configs(tmp_path, {"seed": 0}))] == ["finished"]


@pytest.mark.slow
def test_evaluation_follows_the_best_of_each(tmp_path: Path) -> None:
    members = configs(tmp_path, *seeds(0, 1), trainer__max_epochs=3)
    for outcome in start_stack([dataclasses.replace(each) for each in members], label="stack"):
        frame = metrics(outcome.run).query("metric == 'validation/accuracy'")
        best = frame.loc[frame["value"].idxmax()]
        assert outcome.state["best"]["step"] == best["step"]
        content = torch.load(outcome.run.checkpoints / "best.ckpt", weights_only=True)
        assert content["global_step"] == best["step"]


@pytest.mark.slow
def test_a_stack_in_bfloat16_is_as_near_to_its_runs_as_they_are_to_float32(tmp_path: Path) -> None:
    settings = {"trainer__max_epochs": 1, "measure__measurements": (), "data__validation_size": 0}

    def losses(outcome: Outcome) -> list[float]:
        frame = metrics(outcome.run)
        return [float(value) for value in frame[frame["metric"] == "step/cross_entropy"]["value"]]

    precise = [start(config) for config in configs(tmp_path / "32", *seeds(0, 1), **settings)]
    settings["trainer__precision"] = "bf16"
    alone = [start(config) for config in configs(tmp_path / "alone", *seeds(0, 1), **settings)]
    stacked = start_stack(configs(tmp_path / "stack", *seeds(0, 1), **settings), label="stack")
    for one, other, exact in zip(stacked, alone, precise, strict=True):
        assert losses(one) != losses(exact)  # it is bfloat16
        assert losses(one) == pytest.approx(losses(exact), rel=0.03)
        assert losses(other) == pytest.approx(losses(exact), rel=0.03)
        assert one.state["status"] == "finished"


@pytest.mark.parametrize("every", [1, 1000])
@pytest.mark.parametrize("rate", [1e10, 1e38])
def test_a_member_that_diverges_leaves_alone_however_often_anything_is_logged(
    rate: float, every: int, tmp_path: Path
) -> None:
    """At 1e38 only the weights, or the evaluation, show it."""
    base: dict[str, Any] = {
        "model__network": "mlp", "model__width": None, "model__hidden": [8], "data__augmentation": "none",
        "data__batch_size": 32 if rate == 1e10 else 100, "training__warmup_steps": 0, "trainer__max_epochs": 1,
        "measure__measurements": ["weights"], "measure__every_n_epochs": 1, "measure__at_steps": [1, 4],
        "log__every_n_steps": every,
    }  # fmt: skip
    members = [{"seed": 0}, {"seed": 1, "training.learning_rate": rate}]
    alone = [start(config) for config in configs(tmp_path / "alone", *members, **base)]
    stacked = start_stack(configs(tmp_path / "stacked", *members, **base), label="both")
    assert [each.state["status"] for each in alone] == ["finished", "diverged"]
    for ours, theirs in zip(stacked, alone, strict=True):
        for key in ("status", "reason", "step", "epoch"):
            assert ours.state.get(key) == theirs.state.get(key), key
        assert ("final" in ours.state) == ("final" in theirs.state)
        assert table(ours.run)[0] == table(theirs.run)[0]
