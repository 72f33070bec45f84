"""How many threads a run computes with: one for thin networks, what was timed to help for wide ones, and recorded."""

from __future__ import annotations

import math
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from repro.config import Config, from_mapping
from repro.networks import create_network
from repro.records import RunDirectory
from repro.runs import threads
from repro.runs.start import resolve, start
from repro.runs.stop import Interrupted
from repro.training.classifier import Classifier

SMALL: dict[str, Any] = {
    "model": {"network": "resnet8", "width": 4},
    "data": {"name": "MNIST5k", "batch_size": 32, "train_size": 100, "test_size": 100, "evaluation_batch_size": 1000},
    "trainer": {"max_epochs": 2, "progress": "none", "accelerator": "cpu"},
    "measure": {"measurements": []},
    "log": {"every_n_steps": 1},
}


@pytest.fixture(autouse=True)
def command_line(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As the command line has it, on a machine with three processors."""
    monkeypatch.setattr(threads, "prepared", lambda: True)
    monkeypatch.setattr(threads, "allowed", lambda: 3)
    threads._say.cache_clear()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """Seconds of a step by threads, for a network that counts as wide."""
    seconds = {1: 1.5, 3: 1.0}

    def time_passes(network: nn.Module, images: torch.Tensor, labels: torch.Tensor, most: int) -> dict[int, float]:
        assert len(images) == len(labels) == 32
        return {1: seconds[1], most: seconds[most]}

    monkeypatch.setattr(threads, "WIDE", 0.0)
    monkeypatch.setattr(threads, "_timed", time_passes)
    return seconds


def small(folder: Path) -> Config:
    return from_mapping({**SMALL, "runs": str(folder)})


def life(run: RunDirectory, number: int = -1) -> dict[str, Any]:
    return run.lives[number]


def test_thin_networks_have_one_thread_and_nothing_is_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(threads, "_timed", None)
    run = start(small(tmp_path)).run
    assert life(run)["threads"] == 1
    assert "step_seconds" not in life(run)
    assert "1 thread a process" in capsys.readouterr().err


@pytest.mark.parametrize(("alone", "taken"), [(1.21, 3), (1.2, 3), (1.19, 1), (0.5, 1)])
def test_wide_ones_have_more_only_if_that_is_a_fifth_faster(
    alone: float, taken: int, timed: dict[int, float], tmp_path: Path
) -> None:
    timed[1] = alone
    run = start(small(tmp_path)).run
    assert life(run)["threads"] == taken == torch.get_num_threads()
    assert life(run)["step_seconds"] == {"1 threads": alone, "3 threads": 1.0}


def interrupted(config: Config, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    step = Classifier.training_step

    def training_step(self: Classifier, *given: Any) -> Any:
        if self.trainer.global_step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "training_step", training_step)
        with pytest.raises(Interrupted):
            start(config)
    return resolve(config).directory


def test_a_run_goes_on_with_the_threads_that_it_began_with(
    timed: dict[int, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small(tmp_path)
    run = interrupted(config, monkeypatch)
    timed[1] = 0.5  # timed now, one would be chosen
    assert start(config).state["status"] == "finished"
    assert [each["threads"] for each in run.lives] == [3, 3]


def test_where_there_are_fewer_processors_it_says_so(
    timed: dict[int, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small(tmp_path)
    run = interrupted(config, monkeypatch)
    monkeypatch.setattr(threads, "allowed", lambda: 1)
    start(config)
    assert [each["threads"] for each in run.lives] == [3, 1]
    assert (
        "repro: note: the run has computed with 3 threads and may use 1 here, so its last bits differ\n"
        in capsys.readouterr().err
    )


def test_a_script_keeps_its_own_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "prepared", lambda: False)
    monkeypatch.setattr(threads, "WIDE", 0.0)
    torch.set_num_threads(2)
    environment = dict(os.environ)
    assert life(start(small(tmp_path)).run)["threads"] == 2
    assert dict(os.environ) == environment


def test_the_timing_leaves_no_trace() -> None:
    """Batch normalisation, dropout and every generator are as they were; no gradient stays."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(144, 3)
    )
    images, labels = torch.randn(6, 1, 8, 8), torch.randint(3, (6,))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    generators = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    seconds = threads._timed(network, images, labels, 3)
    assert set(seconds) == {1, 3}
    assert all(0 < each < math.inf for each in seconds.values())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert network.training
    assert torch.equal(torch.get_rng_state(), generators[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == generators[1:]  # type: ignore[index]  # noqa: NPY002


def test_a_frozen_network_is_timed_by_its_forward_pass() -> None:
    network = nn.Linear(4, 3).requires_grad_(False)
    assert set(threads._timed(network, torch.randn(2, 4), torch.tensor([0, 1]), 2)) == {1, 2}


@pytest.mark.slow
def test_a_run_whose_steps_were_timed_ends_like_one_whose_were_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = start(small(tmp_path / "plain")).run
    monkeypatch.setattr(threads, "WIDE", 0.0)
    monkeypatch.setattr(threads, "GAIN", math.inf)
    other = start(small(tmp_path / "timed")).run
    assert set(life(other)["step_seconds"]) == {"1 threads", "3 threads"}
    mine, theirs = (
        torch.load(each.saved_checkpoints()[-1], weights_only=True)["state_dict"] for each in (plain, other)
    )
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())


@pytest.mark.parametrize(("batch", "wide"), [(1, False), (16, False), (17, True)])
def test_work_is_counted_by_layer_and_batch(batch: int, wide: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: 3 * 8 * 9 * 10 * 10 and 800 * 5 multiply-adds an image in two layers, 12,800 each on average."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(800, 5))
    monkeypatch.setattr(threads, "WIDE", 16.5 * (3 * 8 * 9 * 100 + 800 * 5) / 2)
    assert threads.is_wide(network, torch.zeros(1, 3, 10, 10), batch) is wide


def test_which_networks_are_thin() -> None:
    """The demo's are; VGG16 is not."""
    for name, width in (("plainnet110", 8), ("resnet110", 8), ("resnext110", 8), ("resnet110", 16)):
        network = create_network(name, width=width, in_channels=1, image_size=28)
        assert not threads.is_wide(network, torch.zeros(1, 1, 28, 28), 32)
    assert threads.is_wide(create_network("vgg16"), torch.zeros(1, 3, 32, 32), 32)


@pytest.mark.parametrize(("wide", "threads_taken"), [(0.0, 3), (1e30, 1)])
def test_evaluating_takes_all_threads_for_a_wide_network(wide: float, threads_taken: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(threads, "WIDE", wide)
    threads.set_threads_to_look(nn.Linear(4, 3), torch.zeros(1, 4), 100)
    assert torch.get_num_threads() == threads_taken


STEP = dict.fromkeys(("SLURM_NTASKS", "SLURM_STEP_NUM_TASKS"), "2") | {"SLURM_STEP_ID": "0", "SLURM_PROCID": "0"}


@pytest.mark.parametrize(
    ("devices", "changes", "share"),
    [
        (1, {}, 3),
        (2, {}, 1),  # of three processors
        (2, {"LOCAL_RANK": "1"}, 3),  # begun by the first rank, whose share is its limit
        (2, {"SLURM_NTASKS": "2"}, 1),  # of an allocation, of which srun has started nothing
        (2, STEP, 3),  # each task has its own processors
    ],
)
def test_ranks_of_one_machine_share_its_processors(
    devices: int, changes: dict[str, str], share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    threads.share_threads(devices)
    assert threads._share(devices) == share
    assert os.environ["OMP_NUM_THREADS"] == ("7" if share == 3 else "1"), "which Lightning hands to the other ranks"
