"""The output trained on features that are computed once is the output trained by running the network at every step."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from repro.config import Config, from_mapping
from repro.data import create_data
from repro.errors import UserError
from repro.networks import create_network
from repro.networks.initialization import initialise
from repro.networks.skip import SkipToOutput
from repro.records import RunDirectory, find_runs, metrics
from repro.runs import build as module
from repro.runs.start import start
from repro.runs.stop import Interrupted
from repro.training.classifier import Classifier
from repro.training.random_features import classifier as random_features
from repro.training.random_features import store as features
from repro.training.random_features.output_layer import OutputLayer

OPTIONS: dict[str, Any] = {"width": 4, "activation": "softplus", "initialization": "truncated"}
NETWORK = {"network": "resnet8", **OPTIONS}


def small(tmp_path: Path, *, head: str = "add", **model: Any) -> Config:
    return from_mapping(
        {
            "model": {**NETWORK, "skip_neurons": 300, "skip_seed": 2, "skip_head": head, "train": "output", **model},
            "data": {"batch_size": 32, "train_size": 100, "test_size": 100, "evaluation_batch_size": 500},
            "training": {"warmup_steps": 0, "learning_rate": 0.01, "nesterov": True},
            "trainer": {"max_epochs": 3, "progress": "none", "accelerator": "cpu"},
            "measure": {"measurements": []},
            "log": {"every_n_steps": 1, "wandb": "disabled"},
            "runs": str(tmp_path),
        }
    )


def losses(run: RunDirectory) -> list[float]:
    table = metrics(run)
    return table[table["metric"] == "step/cross_entropy"]["value"].tolist()


@pytest.mark.parametrize("head", ["add", "replace", "fill"])
def test_it_is_the_training_of_the_output_in_a_network_that_runs_every_step(tmp_path: Path, head: str) -> None:
    run = start(small(tmp_path, head=head)).run
    data = create_data("MNIST5k", batch_size=32, train_size=100, test_size=100, seed=0, evaluation_batch_size=500)
    data.setup()
    module.seed_everything(0, verbose=False)
    plain = create_network(
        in_channels=1, image_size=28, **{"name": "resnet8", **{k: v for k, v in NETWORK.items() if k != "network"}}
    )
    image = torch.zeros(1, 1, 28, 28)
    network = SkipToOutput(plain, 300, 2, image=image, num_classes=10, head=head)  # type: ignore[arg-type]
    initialise(network.skip, "truncated")
    network.to(memory_format=torch.channels_last)
    random_features.update_batchnorm_statistics(network, data.batches("train"))
    network.requires_grad_(False)
    trained = [network.skip.weight, *([] if head == "replace" else [plain.head.weight, plain.head.bias])]
    for parameter in trained:
        parameter.requires_grad_(True)
    optimiser = torch.optim.SGD(trained, lr=0.01, momentum=0.9, nesterov=True, weight_decay=1e-4)
    network.eval()
    expected = []
    for step in range(12):
        batches = data.batches("train", training=True)
        batches.position = lambda step=step: step  # type: ignore[misc]
        images, labels = next(iter(batches))
        optimiser.param_groups[0]["lr"] = 0.01 if step < 6 else 0.001 if step < 9 else 0.0001
        loss = F.cross_entropy(network(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        expected.append(loss.item())
    assert losses(run) == pytest.approx(expected, rel=1e-4)
    state = torch.load(run.saved_checkpoints()[-1], weights_only=True)["state_dict"]
    for name, value in network.state_dict().items():
        assert torch.allclose(state[f"network.{name}"], value, rtol=1e-4, atol=1e-5), name


def test_the_hidden_layers_do_not_move_and_their_statistics_are_the_training_sets(tmp_path: Path) -> None:
    config = small(tmp_path)
    untrained = module.build(config).module.network.state_dict()
    run = start(config).run
    state = torch.load(run.saved_checkpoints()[-1], weights_only=True)["state_dict"]
    moved = {name for name, value in untrained.items() if not torch.equal(state[f"network.{name}"], value)}
    assert {name for name in moved if "running" not in name and "num_batches" not in name} == {
        "network.head.weight",
        "network.head.bias",
        "skip.weight",
    }
    data = create_data("MNIST5k", batch_size=32, train_size=100, seed=0)
    data.setup()
    images = data.batches("train").normalise(data.batches("train").images)
    first = F.conv2d(images, state["network.network.stem.conv1.weight"], padding=1)
    mean = state["network.network.stem.norm1.running_mean"]
    assert torch.allclose(mean, first.mean((0, 2, 3)), atol=1e-4)  # torch sums in float32 (FINDINGS.md)


def test_statistics_are_means_by_the_sizes_of_the_batches() -> None:
    data = create_data("MNIST5k", batch_size=32, train_size=100, evaluation_batch_size=70)
    data.setup()
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(1), torch.nn.Flatten(), torch.nn.Linear(784, 10))
    random_features.update_batchnorm_statistics(network, data.batches("train"))
    images = data.batches("train").normalise(data.batches("train").images)
    assert network[0].running_mean.item() == pytest.approx(images.mean().item(), abs=1e-5)
    assert network[0].momentum == 0.1


@pytest.mark.slow
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = start(small(tmp_path / "whole")).run
    config = small(tmp_path / "stopped")
    training_step = Classifier.training_step

    def interrupted(self: Classifier, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.trainer.global_step == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return training_step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "training_step", interrupted)
        with pytest.raises(Interrupted):
            start(config)
    run = start(config).run
    assert losses(run) == losses(whole)


class Killed(BaseException):
    """What no handler of ours takes."""


@pytest.mark.slow
def test_features_that_do_not_fit_lie_in_a_file_until_the_run_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resident = start(small(tmp_path / "resident")).run
    monkeypatch.setattr(features, "RESIDENT_SHARE", 0.0)
    config = small(tmp_path / "mapped")
    fill, step = features._fill, Classifier.training_step
    calls: list[int] = []

    def killed_while_computing(found: torch.Tensor, *_rest: object) -> None:
        found[:50] = 1.0
        raise Killed

    def killed_while_training(self: Classifier, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.trainer.global_step == 5:
            raise Killed
        return step(self, batch, batch_idx)

    def counted(*arguments: Any) -> None:
        calls.append(1)
        fill(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(features, "_fill", killed_while_computing)
        with pytest.raises(Killed):
            start(config)
    (run,) = find_runs([tmp_path / "mapped"])
    assert [path.name for path in run.feature_files()] == ["features-0.npy.part"]
    monkeypatch.setattr(features, "_fill", counted)
    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "training_step", killed_while_training)
        with pytest.raises(Killed):
            start(config)
    (kept,) = run.feature_files()
    assert (kept.name, np.load(kept, mmap_mode="r").shape) == ("features-0.npy", (100, 316))
    with monkeypatch.context() as patch:
        patch.setattr(OutputLayer, "features", None)  # nothing computes any more, not even to learn the width
        start(config)
    assert calls == [1]
    assert losses(run) == losses(resident)
    assert not run.feature_files()


@pytest.mark.parametrize("damage", ["shape", "torn", "empty"])
def test_a_file_that_is_not_whole_or_not_of_this_shape_is_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    config = small(tmp_path)
    data = create_data("MNIST5k", batch_size=32, train_size=100)
    data.setup()
    experiment = module.build(config)
    assert isinstance(experiment.module, random_features.OutputClassifier)
    output, batches = experiment.module.output, data.batches("train")
    expected = features.keep(output, batches, folder=tmp_path)
    monkeypatch.setattr(features, "RESIDENT_SHARE", 0.0)
    path = tmp_path / "features-0.npy"
    assert torch.equal(features.keep(output, batches, folder=tmp_path), expected)
    if damage == "shape":
        np.save(path, np.zeros((100, 17), np.float32))
    else:
        path.write_bytes(path.read_bytes()[:-1000] if damage == "torn" else b"")
    assert torch.equal(features.keep(output, batches, folder=tmp_path), expected)
    assert RunDirectory(tmp_path).delete_features() == 128 + 4 * 100 * 316
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(features, "RESIDENT_SHARE", 0.0)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"cannot write features of 0.0 GB to '.*': No space left on device; name ano"):
        start(small(tmp_path))
    assert not find_runs([tmp_path])  # neither the file nor the run stays behind


def test_any_networks_output_can_be_trained_alone(tmp_path: Path) -> None:
    run = start(small(tmp_path, skip_neurons=None, skip_head="add")).run
    assert len(losses(run)) == 12
    assert losses(run)[-1] < losses(run)[0]


def test_augmentation_is_refused(tmp_path: Path) -> None:
    config = from_mapping(
        {"model": {**NETWORK, "train": "output"}, "data": {"augmentation": "crop_flip"}, "runs": str(tmp_path)}
    )
    with pytest.raises(UserError, match="model.train output computes each image's features once"):
        start(config)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("head", ["add", "replace"])
def test_the_exact_solution_is_the_pseudo_inverses(tmp_path: Path, head: str) -> None:
    config = small(tmp_path, head=head, network="mlp", width=None, hidden=[150, 100], skip_neurons=200, solver="exact")
    outcome = start(config)
    solution = outcome.state["solution"]
    assert (outcome.state["status"], solution["rank"], solution["images"]) == ("finished", 100, 100)  # Lemma 3.2
    assert solution["residual"] < 1e-9
    assert outcome.state["final"]["train_accuracy"] == 1.0
    experiment, _ = module.restore(config, outcome.run.saved_checkpoints()[-1])
    experiment.data.setup("fit")
    batches = experiment.data.batches("train")
    network = experiment.module.network.eval()
    assert isinstance(network, SkipToOutput)
    with torch.no_grad():
        images = batches.normalise(batches.images)
        psi = network.features(images)[0].double().numpy()
        scores = network(images)
    targets = np.eye(10)[batches.labels.numpy()]
    np.testing.assert_allclose(scores.numpy(), targets, atol=2e-3)
    if head == "replace":
        expected = np.linalg.pinv(psi) @ targets
        np.testing.assert_allclose(network.skip.weight.detach().numpy().T, expected, atol=1e-3 * np.abs(expected).max())


def test_what_the_exact_solver_cannot_hold_it_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repro.training.random_features.least_norm.available_memory", lambda: 1000)
    monkeypatch.setattr(OutputLayer, "features", None)  # nothing is computed before
    with pytest.raises(UserError, match=r"needs 0.0 GB for 100 x 317 features in float64"):
        start(small(tmp_path, solver="exact"))
    config = small(tmp_path, solver="exact")
    two = dataclasses.replace(config, trainer=dataclasses.replace(config.trainer, devices=2))
    with pytest.raises(UserError, match="one process; trainer.devices is 2 and trainer.num_nodes 1; allowed: 1 each"):
        start(two)
    with pytest.raises(UserError, match="set model.train output with it"):
        start(small(tmp_path, solver="exact", train="all"))
