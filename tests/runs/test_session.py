from __future__ import annotations

import dataclasses
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from repro.config import Config, from_mapping, to_yaml
from repro.data import create_data
from repro.errors import UserError
from repro.importing import trusting
from repro.networks import create_network
from repro.records import RunDirectory, metrics, readings
from repro.runs import build as module
from repro.runs import session as fitting
from repro.runs.start import resolve, start
from repro.runs.stop import Interrupted
from repro.training.classifier import Classifier

SMALL: dict[str, Any] = {
    "model": {"network": "resnet8", "width": 4},
    "data": {"name": "MNIST5k", "batch_size": 32, "train_size": 100, "test_size": 100, "evaluation_batch_size": 1000},
    "training": {"warmup_steps": 2, "learning_rate": 0.05},
    "trainer": {"max_epochs": 3, "progress": "none", "accelerator": "cpu"},
    "measure": {"measurements": ["weights"], "probe_size": 16, "at_steps": [1, 4]},
    "log": {"every_n_steps": 1},
}


def small(tmp_path: Path, **changes: object) -> Config:
    config = from_mapping(SMALL)
    for key, value in {"runs": str(tmp_path), **changes}.items():
        group, _, name = key.rpartition("__")
        if group:
            config = dataclasses.replace(
                config, **{group: dataclasses.replace(getattr(config, group), **{name: value})}
            )
        else:
            config = dataclasses.replace(config, **{key: value})
    return config


def records(run: RunDirectory) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    return (
        list(metrics(run).itertuples(index=False, name=None)),
        list(readings(run).itertuples(index=False, name=None)),
    )


def weights(run: RunDirectory) -> dict[str, torch.Tensor]:
    content = torch.load(run.saved_checkpoints()[-1], weights_only=True)
    optimiser = content["optimizer_states"][0]["state"]
    of_it = {f"{name}{number}": value for number, state in optimiser.items() for name, value in state.items()}
    return {**content["state_dict"], **of_it}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, RunDirectory]:
    config = small(tmp_path_factory.mktemp("runs"))
    return config, start(config).run


def test_the_loop_is_a_plain_pytorch_loop(finished: tuple[Config, RunDirectory]) -> None:
    """The reference: twenty lines of PyTorch on the same batches, bit for bit."""
    _, run = finished
    data = create_data("MNIST5k", batch_size=32, train_size=100, seed=0)
    data.setup()
    module.seed_everything(0, verbose=False)
    network = create_network("resnet8", width=4, in_channels=1, image_size=28).to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    losses = []
    for step in range(12):
        batches = data.batches("train", training=True)
        batches.position = lambda step=step: step  # type: ignore[misc]
        x, y = next(iter(batches))
        optimiser.param_groups[0]["lr"] = 0.01 if step < 2 else 0.05 if step < 6 else 0.005 if step < 9 else 0.0005
        loss = F.cross_entropy(network(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    table = metrics(run)
    recorded = table[table["metric"] == "step/cross_entropy"]
    assert recorded["step"].tolist() == list(range(12))
    assert recorded["value"].tolist() == losses
    trained = weights(run)
    for name, value in network.state_dict().items():
        assert torch.equal(trained[f"network.{name}"], value), name


def test_the_record_says_everything(finished: tuple[Config, RunDirectory]) -> None:
    _, run = finished
    table = metrics(run)
    at_epoch_ends = {"train/cross_entropy", "train/accuracy", "train/objective", "test/cross_entropy", "test/accuracy"}
    at_epoch_ends |= {"train/largest_cross_entropy", "train/largest_objective"}
    at_steps = {"step/cross_entropy", "step/objective", "step/accuracy", "learning_rate"}
    assert set(table["metric"]) == at_epoch_ends | at_steps
    for name in at_epoch_ends:
        assert table[table["metric"] == name]["step"].tolist() == [4, 8, 12]
    steps = table[table["metric"] == "step/cross_entropy"]["value"].tolist()
    weighted = (32 * steps[0] + 32 * steps[1] + 32 * steps[2] + 4 * steps[3]) / 100
    assert table[table["metric"] == "train/cross_entropy"]["value"].iloc[0] == pytest.approx(weighted, rel=1e-6)
    assert sorted(set(readings(run)["step"])) == [0, 1, 4, 8, 12]
    state = run.state
    assert (run.status, state["step"], state["epoch"], state["seconds"] > 0) == ("finished", 12, 3, True)
    assert state["final"]["test_accuracy"] == table[table["metric"] == "test/accuracy"]["value"].iloc[-1]
    assert run.lives[0]["parameters"] == sum(
        p.numel() for p in create_network("resnet8", width=4, in_channels=1).parameters()
    )
    assert run.lives[0]["precision"] == "32"


def test_the_objective_is_what_the_optimiser_descends(finished: tuple[Config, RunDirectory]) -> None:
    _, run = finished
    table = metrics(run).set_index("metric")
    last = table[table["step"] == 12]["value"]
    squares = sum(
        value.double().square().sum().item()
        for name, value in weights(run).items()
        if name.startswith("network.") and not any(part in name for part in ("running", "num_batches"))
    )
    assert last["train/objective"] - last["train/cross_entropy"] == pytest.approx(1e-4 / 2 * squares, rel=1e-5)


@pytest.mark.parametrize("stop_at", [1, 4, *(pytest.param(step, marks=pytest.mark.slow) for step in (3, 5, 11))])
def test_a_run_stopped_anywhere_goes_on_bit_for_bit(
    stop_at: int, finished: tuple[Config, RunDirectory], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small(tmp_path)
    training_step = Classifier.training_step

    def interrupted(self: Classifier, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.trainer.global_step == stop_at - 1:
            os.kill(os.getpid(), signal.SIGINT)
        return training_step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "training_step", interrupted)
        with pytest.raises(Interrupted, match=f"stopped at step {stop_at}"):
            start(config)
    run = resolve(config).directory
    assert run.status == "interrupted"
    assert run.state["step"] == stop_at
    outcome = start(config)
    assert outcome.state["status"] == "finished"
    reference = finished[1]
    assert records(run) == records(reference)
    ours, theirs = weights(run), weights(reference)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name
    assert outcome.state["final"] == reference.state["final"]
    assert len(run.lives) == 2


OTHERS = {
    "adamw": {"training__optimizer": "adamw", "training__learning_rate": 0.01, "training__schedule": "cosine"},
    "muon": {"training__optimizer": "muon", "training__learning_rate": 0.01, "training__clip_gradients": 0.5},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_other_optimisers_go_on_bit_for_bit(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an end in the middle of an epoch, too."""
    options = {**OTHERS[name], "training__max_steps": 10}
    reference = start(small(tmp_path / "whole", **options)).run
    table = metrics(reference)
    rates = table[table["metric"] == "learning_rate"]["value"].tolist()
    assert (reference.state["step"], len(rates)) == (10, 10)
    assert rates[-1] < rates[3] < 0.0101
    training_step, config = Classifier.training_step, small(tmp_path / "killed", **options)

    def killed(self: Classifier, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.trainer.global_step == 6:
            raise RuntimeError("killed")
        return training_step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "training_step", killed)
        with pytest.raises(RuntimeError, match="killed"):
            start(config)
    run = start(config).run
    assert (run.name, len(run.lives)) == (reference.name, 2)
    assert records(run) == records(reference)
    ours, theirs = weights(run), weights(reference)
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        assert torch.equal(ours[key], value), key
    assert run.state["final"] == reference.state["final"]


def test_gradients_are_clipped_to_their_norm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    step = torch.optim.SGD.step

    def noted(self: torch.optim.SGD, closure: Any = None) -> Any:
        result = closure()  # Lightning clips at its end
        gradients = [p.grad for group in self.param_groups for p in group["params"]]
        norms.append(float(torch.nn.utils.get_total_norm(gradients)))
        return step(self, lambda: result)

    monkeypatch.setattr(torch.optim.SGD, "step", noted)
    start(small(tmp_path, training__clip_gradients=0.25, training__max_steps=3))
    assert len(norms) == 3
    assert norms == pytest.approx([0.25] * 3, rel=1e-4)


def test_a_finished_run_is_left_alone(finished: tuple[Config, RunDirectory]) -> None:
    config, run = finished
    before = records(run)
    outcome = start(config)
    assert (outcome.action, outcome.run.path) == ("skipped", run.path)
    assert records(run) == before


@pytest.mark.slow
def test_again_makes_a_new_run_and_keeps_the_old(tmp_path: Path) -> None:
    config = small(tmp_path, trainer__max_epochs=1)
    first = start(config).run
    second = start(config, again=True)
    assert second.action == "trained"
    assert sorted(path.name for path in first.path.parent.iterdir()) == [first.name, f"{first.name}.1"]


def test_only_the_newest_checkpoints_are_kept(finished: tuple[Config, RunDirectory]) -> None:
    assert [path.name for path in finished[1].saved_checkpoints()] == ["step-00000008.ckpt", "step-00000012.ckpt"]
    assert sorted(path.name for path in finished[1].checkpoints.iterdir()) == [
        "step-00000008.ckpt",
        "step-00000012.ckpt",
    ]


def test_a_diverged_run_has_that_as_its_result(tmp_path: Path) -> None:
    config = small(tmp_path, training__learning_rate=1e30, training__warmup_steps=0)
    outcome = start(config)
    assert outcome.state["status"] == "diverged"
    assert outcome.state["reason"] == "the training loss is not finite at step 1"
    assert start(config).action == "skipped"
    values = metrics(outcome.run)
    assert not math.isfinite(values[values["metric"] == "step/cross_entropy"]["value"].iloc[-1])


def test_a_failed_run_keeps_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small(tmp_path)

    def broken(self: Classifier, batch: Any, batch_idx: int) -> torch.Tensor:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Classifier, "training_step", broken)
    with pytest.raises(RuntimeError):
        start(config)
    run = resolve(config).directory
    assert (run.status, run.state["reason"]) == ("failed", "RuntimeError: out of memory")


@pytest.mark.parametrize("where", ["build", "device_info"])
def test_a_run_that_dies_while_it_is_built_has_failed(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: Any, **_options: Any) -> None:
        raise RuntimeError("no memory for it")

    monkeypatch.setattr(fitting, where, broken)
    with pytest.raises(RuntimeError):
        start(small(tmp_path))
    run = resolve(small(tmp_path)).directory
    assert (run.status, run.state["reason"]) == ("failed", "RuntimeError: no memory for it")
    monkeypatch.undo()
    assert start(small(tmp_path)).state["status"] == "finished"
    assert "reason" not in run.state


def test_a_validation_split_is_evaluated_beside_the_test_set(tmp_path: Path) -> None:
    config = small(tmp_path, data__validation_size=50, trainer__max_epochs=1, measure__measurements=())
    outcome = start(config)
    assert {"train_accuracy", "validation_accuracy", "test_accuracy"} <= set(outcome.state["final"])
    assert {"validation/accuracy", "test/accuracy"} <= set(metrics(outcome.run)["metric"])
    found = module.evaluate(config, outcome.run.saved_checkpoints()[-1])
    assert found == outcome.state["final"]


def test_measuring_does_not_change_the_training(finished: tuple[Config, RunDirectory], tmp_path: Path) -> None:
    run = start(small(tmp_path, measure__measurements=())).run
    assert records(run)[0] == records(finished[1])[0]
    assert len(records(run)[1]) == 0


def test_bf16_is_recorded_and_another_run(tmp_path: Path) -> None:
    config = small(tmp_path, trainer__precision="bf16", trainer__max_epochs=1)
    outcome = start(config)
    assert outcome.run.lives[0]["precision"] == "bf16"
    assert outcome.run.name != resolve(small(tmp_path)).directory.name


def test_a_second_start_refuses_while_the_first_lives(tmp_path: Path) -> None:
    config = small(tmp_path)
    run = RunDirectory.prepare(resolve(config).directory.path, to_yaml(config))
    with run.lock(), pytest.raises(UserError, match="is in use by process"):
        start(config, again=True)


def test_another_runs_directory_is_refused(finished: tuple[Config, RunDirectory], tmp_path: Path) -> None:
    config = small(tmp_path)
    run = resolve(config).directory
    RunDirectory.prepare(run.path, (finished[1].config_path).read_text().replace("width: 4", "width: 8"))
    with pytest.raises(UserError, match="is another run's: model.width is 8 there and 4 here"):
        start(config)


def test_a_mistake_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text("from torch import nn\n\ndef make(num_classes, depth) -> nn.Module: ...\n")
    config = small(tmp_path / "runs", model__network="nets:make", model__width=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        with trusting(["nets"]), pytest.raises(UserError, match="depth"):
            start(config)
    assert not list((tmp_path / "runs").rglob("config.yaml"))


def test_checkpoints_load_without_pickled_code(finished: tuple[Config, RunDirectory]) -> None:
    content = torch.load(finished[1].saved_checkpoints()[-1], weights_only=True)
    assert content["global_step"] == 12


def test_a_skip_network_trains_is_resumed_and_evaluated(tmp_path: Path) -> None:
    changes = {"model__network": "mlp", "model__width": None, "model__hidden": (30, 20), "model__activation": "sigmoid"}
    config = small(tmp_path, **changes, model__skip_neurons=40, model__skip_seed=5)
    outcome = start(config)
    assert outcome.state["status"] == "finished"
    assert "skip40" in outcome.run.name
    state = torch.load(outcome.run.saved_checkpoints()[-1], weights_only=True)["state_dict"]
    assert state["network.skip.weight"].shape == (10, 40)
    chosen = torch.randperm(50, generator=torch.Generator().manual_seed(5))[:40].sort().values
    assert torch.equal(state["network.chosen"], chosen)
    table = readings(outcome.run)
    assert table[table["measurement"] == "weights"]["name"].unique().tolist()[-1] == "skip"
    again = module.evaluate(config, outcome.run.saved_checkpoints()[-1])
    assert again["test_accuracy"] == outcome.state["final"]["test_accuracy"]


def test_as_many_neurons_as_training_images(tmp_path: Path) -> None:
    config = small(tmp_path, model__network="fc12", model__width=10, model__skip_neurons="train")
    assert module.build(config).module.network.skip.weight.shape == (10, 100)  # type: ignore[union-attr]
    config = small(tmp_path, model__network="fc9", model__width=10, model__skip_neurons="train")
    with pytest.raises(UserError, match="model.skip_neurons is 100; allowed: 1 to 90, as many hidden neurons"):
        start(config)
    assert not list((tmp_path / "single").glob("fc9*"))


@pytest.mark.parametrize("name", ["square", "hinge"])
def test_another_loss_is_what_is_descended_and_recorded(tmp_path: Path, name: str) -> None:
    run = start(small(tmp_path, training__loss=name, training__weight_decay=0.0)).run
    table = metrics(run)
    at_start = table[table["step"] == 0].set_index("metric")["value"]
    assert at_start["step/objective"] == at_start["step/loss"] != at_start["step/cross_entropy"]
    losses = table[table["metric"] == "train/loss"]["value"].tolist()
    assert len(losses) == 3
    assert losses[-1] < losses[0]
