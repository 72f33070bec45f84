"""Steps as one CUDA graph, without a GPU: everything but the capture itself. tests/gpu has the rest."""

from __future__ import annotations

import os
import signal
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from repro.config import Config, from_mapping
from repro.config.identity import determining
from repro.errors import UserError
from repro.records import RunDirectory
from repro.training import experiment as module
from repro.training import graph
from repro.training.checks import check
from repro.training.graph import GraphClassifier, _Captured
from repro.training.interrupt import Interrupted
from repro.training.runs import locate, start
from tests.training.test_fit import records, small, weights


class Replays:
    """Does at each replay what the graph would have captured, and writes the results where it would."""

    def __init__(self, module: GraphClassifier, batch: Any) -> None:
        self.module = module
        self.inputs, self.labels = torch.empty_like(batch[0]), torch.empty_like(batch[1])
        self.results = torch.zeros(()), torch.zeros(()), torch.zeros(len(batch[1]), 10)

    def replay(self) -> None:
        for place, result in zip(self.results, self.module._whole(self.inputs, self.labels), strict=True):
            place.copy_(result)


def captured(self: GraphClassifier, batch: Any) -> _Captured:
    made: Any = Replays(self, batch)
    return _Captured(made, made.inputs, made.labels, *made.results, self._places())


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = SimpleNamespace(wait_stream=lambda other: None)
    monkeypatch.setattr(GraphClassifier, "_capture", captured)
    monkeypatch.setattr(module, "require_gpu", lambda trainer: None)
    monkeypatch.setattr("repro.training.checks._check_graph", lambda config: None)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: torch.get_rng_state())


def same(ours: RunDirectory, theirs: RunDirectory) -> None:
    assert records(ours) == records(theirs)
    mine, other = weights(ours), weights(theirs)
    assert mine.keys() == other.keys()
    for name, value in other.items():
        assert torch.equal(mine[name], value), name


@pytest.mark.parametrize(
    "changes",
    [{}, {"training__loss": "hinge", "training__spectral_penalty": 0.01, "log__every_n_steps": 3}],
    ids=["plain", "penalised"],
)
def test_the_run_is_the_same_but_for_how_its_steps_are_launched(
    changes: dict[str, object], without_gpu: None, tmp_path: Path
) -> None:
    plain = start(small(tmp_path / "plain", **changes)).run
    outcome = start(small(tmp_path / "graph", trainer__graph=True, **changes))
    same(outcome.run, plain)
    # Three epochs of three whole batches and a smaller one: three to warm up, three smaller.
    assert outcome.state["graph_steps"] == {"replayed": 6, "as_usual": 6}
    assert [life["graph"] for life in outcome.run.lives] == [True]


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [2, 6])
def test_it_goes_on_from_a_stop_and_from_a_plain_run(
    stop_at: int, without_gpu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = start(small(tmp_path / "plain")).run
    training_step = GraphClassifier.training_step

    def interrupted(self: GraphClassifier, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.trainer.global_step == stop_at - 1:
            os.kill(os.getpid(), signal.SIGINT)
        return training_step(self, batch, batch_idx)

    config = small(tmp_path / "graph", trainer__graph=True)
    with monkeypatch.context() as patch:
        patch.setattr(GraphClassifier, "training_step", interrupted)
        with pytest.raises(Interrupted, match=f"stopped at step {stop_at}"):
            start(config)
    same(start(config).run, plain)
    start(small(tmp_path / "on", trainer__max_epochs=1))
    run = locate(small(tmp_path / "on"), Config())
    assert start(small(tmp_path / "on", trainer__graph=True)).run.path == run.path
    same_weights, other = weights(run), weights(plain)
    assert same_weights.keys() == other.keys()


def test_too_few_steps_are_said_to_be_as_usual(
    without_gpu: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = small(tmp_path, trainer__graph=True, trainer__max_epochs=1)
    assert start(config).state["graph_steps"] == {"replayed": 0, "as_usual": 4}
    assert "trainer.graph: no step was replayed in 4 steps" in capfd.readouterr().err


def test_a_network_that_draws_random_numbers_is_refused(
    without_gpu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter(range(100))
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: torch.tensor(next(drawn)))
    with pytest.raises(UserError, match=r"draws random numbers \(dropout\); set --trainer.graph false"):
        start(small(tmp_path, trainer__graph=True))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"accelerator": "cpu"}, "trainer.accelerator is cpu; set --trainer.graph false"),
        ({"devices": 2}, "1 nodes with 2 devices each"),
        ({"num_nodes": 2}, "2 nodes with auto devices each"),
        ({}, "trains on a CPU"),
    ],
    ids=str,
)
def test_it_is_refused_where_there_is_no_gpu_or_more_than_one_process(changes: dict[str, Any], reason: str) -> None:
    if not changes and torch.cuda.is_available():
        changes = {"accelerator": "cpu"}
        reason = "trainer.accelerator is cpu"
    config = from_mapping({"model": {"network": "resnet8", "width": 4}, "trainer": {"graph": True, **changes}})
    with pytest.raises(UserError, match=reason):
        check(config) and module.build(config)


def test_an_output_trained_alone_is_refused() -> None:
    with pytest.raises(UserError, match="model.train output trains one linear layer"):
        check(from_mapping({"model": {"train": "output"}, "trainer": {"graph": True}}))


def test_it_is_no_part_of_a_runs_identity() -> None:
    assert determining(from_mapping({"trainer": {"graph": True}})) == determining(from_mapping({}))


def test_what_cannot_be_captured_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: Any, **_options: Any) -> Any:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: None)
    monkeypatch.setattr(torch.cuda, "graph", fails)
    this = SimpleNamespace(network=torch.nn.Linear(1, 1))
    with pytest.raises(UserError, match=r"cannot capture the step of Linear: CUDA error: [^\n]*set --trainer.graph"):
        GraphClassifier._capture(this, (torch.zeros(1, 1), torch.zeros(1, dtype=torch.int64)))  # type: ignore[arg-type]
    assert graph.WARM_UP == 3
