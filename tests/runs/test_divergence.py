"""Whether a run has diverged is the same however often anything is logged, and nothing of an earlier part stays."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from repro.config import from_mapping
from repro.errors import UserError
from repro.records import RunDirectory, metrics, readings
from repro.runs.start import start
from repro.training.divergence import Diverged, Divergence, require_finite_result, require_finite_weights
from repro.training.metrics import Largest
from tests.runs.test_session import small

FAST = {"measure__measurements": (), "training__warmup_steps": 0}


def diverging(tmp_path: Path, every: int, **changes: object) -> RunDirectory:
    return start(small(tmp_path, log__every_n_steps=every, **{**FAST, **changes})).run


def test_the_first_step_is_noted_once() -> None:
    noted = Divergence()
    for step, loss in enumerate([1.0, math.inf, 2.0, math.nan]):
        noted.note(torch.tensor(loss), step)
    assert noted.first() == 1
    with pytest.raises(Diverged, match="not finite at step 1"):
        noted.check()
    Divergence().check()
    assert Divergence(7).first() == 7


@pytest.mark.parametrize("rate", [1e10, 1e30])
def test_logging_does_not_decide(rate: float, tmp_path: Path) -> None:
    states = []
    for every in (1, 3, 1000):
        run = diverging(tmp_path / str(every), every, training__learning_rate=rate)
        state = run.state
        states.append((state["status"], state["reason"], state["step"], state["epoch"]))
        assert "final" not in state
        largest = metrics(run).query("metric == 'train/largest_cross_entropy'")["value"]
        assert not math.isfinite(largest.max())
    assert len(set(states)) == 1
    assert states[0][0] == "diverged"


@pytest.mark.parametrize(
    "loss", ["cross_entropy", *(pytest.param(name, marks=pytest.mark.slow) for name in ("square", "hinge"))]
)
def test_nothing_that_is_recorded_comes_from_after_the_step(loss: str, tmp_path: Path) -> None:
    """At 1e10 some losses are infinite first and NaN one step later: the largest is the infinite one."""
    found = []
    for every in (1, 1000):
        run = diverging(
            tmp_path / str(every), every, training__learning_rate=1e10, training__loss=loss,
            measure__measurements=("weights",), measure__at_steps=tuple(range(1, 12)),
            measure__every_n_steps={"outputs": 1},
        )  # fmt: skip
        table = metrics(run).query("metric.str.startswith('train/largest')")
        taken = readings(run)[["step", "measurement"]].drop_duplicates().to_numpy().tolist()
        found.append((run.state["step"], table["metric"].tolist(), [repr(value) for value in table["value"]], taken))
    assert found[0] == found[1]


def test_a_run_of_one_step_with_a_rate_that_breaks_the_weights_does_not_finish(tmp_path: Path) -> None:
    state = diverging(tmp_path, 1000, training__learning_rate=1e38, trainer__max_epochs=1, data__batch_size=100).state
    assert state["status"] == "diverged"
    assert "final" not in state


@pytest.mark.parametrize("key", ["learning_rate", "momentum", "weight_decay", "warmup_learning_rate", "factor"])
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_rate_that_is_no_number_is_refused(key: str, value: float) -> None:
    with pytest.raises(UserError, match=f"training.{key} is (inf|nan)"):
        from_mapping({f"training.{key}": value})


def test_weights_and_results_are_looked_at() -> None:
    network = torch.nn.Linear(2, 2)
    require_finite_weights(network, 3)
    require_finite_result({"train_cross_entropy": 2.0, "test_cross_entropy": math.inf})
    network.bias.data[1] = math.nan
    with pytest.raises(Diverged, match=r"not finite after step 3 \(bias\)"):
        require_finite_weights(network, 3)
    with pytest.raises(Diverged, match="is nan after the last step"):
        require_finite_result({"train_cross_entropy": math.nan})


@pytest.mark.slow
def test_the_largest_of_an_epoch_does_not_depend_on_what_is_logged(tmp_path: Path) -> None:
    """Against the largest of all recorded steps, where all are."""
    found = {}
    for every in (1, 1000):
        table = metrics(diverging(tmp_path / str(every), every))
        found[every] = {
            name: table[table["metric"] == f"train/largest_{name}"]["value"].tolist()
            for name in ("cross_entropy", "objective")
        }
        if every == 1:
            for name in ("cross_entropy", "objective"):
                steps = table[table["metric"] == f"step/{name}"].set_index("step")["value"]
                by_epoch = [steps.loc[4 * epoch : 4 * epoch + 3].max() for epoch in range(3)]
                assert found[1][name] == pytest.approx(by_epoch, rel=1e-12)
    assert found[1] == found[1000]


def test_nan_is_the_largest() -> None:
    largest = Largest({"a": 2.0})
    for value in (3.0, math.nan, 5.0):
        largest.note("a", torch.tensor(value))
    assert math.isnan(largest.values()["a"])


def test_a_run_that_goes_on_and_diverges_has_nothing_of_its_earlier_part(tmp_path: Path) -> None:
    """A learning rate that is too high only after the warm-up: fine in two epochs, not in six."""
    settings = {**FAST, "training__warmup_steps": 8, "training__learning_rate": 1e12, "training__milestones": ()}
    before = start(small(tmp_path, trainer__max_epochs=2, **settings))
    assert before.state["status"] == "finished"
    after = start(small(tmp_path, trainer__max_epochs=6, **settings))
    assert after.state["goes_on_from"] == before.run.name
    assert after.state["status"] == "diverged"
    assert "final" not in after.state
    assert after.state["step"] > before.state["step"]
    assert before.run.state == before.state


def test_a_run_that_is_started_again_forgets_how_an_earlier_life_ended(tmp_path: Path) -> None:
    run = start(small(tmp_path, **FAST)).run
    run.update_state(status="interrupted", reason="an earlier one", solution={"rank": 1})
    seen = start(small(tmp_path, **{**FAST, "log__every_n_steps": 1})).state
    assert seen["status"] == "finished"
    assert not {"reason", "solution"} & set(seen)
