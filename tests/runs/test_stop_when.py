"""A run that its own rule ends."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from repro.cli import run as repro
from repro.config import Config, from_mapping, parse, to_yaml
from repro.errors import UserError
from repro.measurements.stop_rule import StopRule
from repro.records import RunDirectory, metrics, readings
from repro.report import build
from repro.runs.start import start
from repro.runs.validation import check_names
from repro.tracking.wandb_run import close_run
from repro.training.evaluated import EvaluatedModule
from tests.runs.test_session import records, small, weights

NEVER = "train_accuracy < 0"


def ruled(tmp_path: Path, rule: str, **changes: object) -> Config:
    return small(tmp_path, training__stop_when=rule, **changes)


@pytest.mark.parametrize(
    ("rule", "values", "met"),
    [
        ("train_accuracy < 12", {"train_accuracy": 10.0}, True),
        ("train_accuracy < 12", {"train_accuracy": 12.0}, False),
        ("train_accuracy < 12", {"train_accuracy": float("nan")}, False),
        ("train_accuracy < 12 and step >= 8", {"train_accuracy": 10.0, "step": 4.0}, False),
        ("10 < step <= 20", {"step": 20.0}, True),
        ("10 < step <= 20", {"step": 10.0}, False),
        ("train_loss >= test_loss", {"train_loss": 2.0, "test_loss": 1.0}, True),
        ("train_loss >= test_loss", {"train_loss": 2.0}, False),
        ("weights_median == inf", {"weights_median": float("inf")}, True),
        ("weights_kappa[3] > 5", {"weights_kappa[3]": 6.0}, True),
    ],
)
def test_a_rule_is_met_where_all_its_comparisons_hold(rule: str, values: dict[str, float], met: bool) -> None:
    assert (StopRule.of(rule, ["weights"]).met(values) is not None) == met


@pytest.mark.parametrize(
    ("rule", "parts"),
    [
        ("train_acuracy < 12", ["'train_acuracy'", "nearest: train_accuracy"]),
        ("representations_infinite > 3", ["the measurement representations gives", "--measure.measurements"]),
        ("seconds > 3", ["'seconds'", "step"]),
        ("train_accuracy less 12", ["cannot be read at 'train_accuracy less 12'", "joined by and"]),
        ("train_accuracy < 12 or step > 3", ["cannot be read"]),
        ("", ["cannot be read"]),
        ("1 < 2", ["names no quantity"]),
        ("train_accuracy < nan", ["unknown quantity 'nan'"]),
    ],
)
def test_what_cannot_be_looked_at_is_refused_with_what_can(rule: str, parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        StopRule.of(rule, ["weights"])
    for part in parts:
        assert part in str(caught.value)
    with pytest.raises(UserError):
        check_names(parse(["--stop-when", rule, "--measure.measurements", "[weights]"]).config)


def test_a_run_ends_where_its_rule_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After step 4, an epoch's end: at step 1, which is measured too, the rule is looked at and does not hold."""
    outcome = start(ruled(tmp_path, "weights_median > 1 and step >= 2"))
    state, run = outcome.state, outcome.run
    assert (state["status"], state["step"], run.ended) == ("stopped", 4, True)
    assert state["reason"].startswith("weights_median > 1 and step >= 2 (weights_median is ")
    assert set(state["final"]) == {"train_accuracy", "train_cross_entropy", "test_accuracy", "test_cross_entropy"}
    whole = start(ruled(tmp_path, NEVER)).run
    assert whole.status == "finished"
    assert run.name != whole.name
    table = metrics(whole)
    until = table[(table["step"] < 4) | ((table["step"] == 4) & ~table["metric"].str.match("step|learning"))]
    assert metrics(run).equals(until.reset_index(drop=True)), "the batch after step 4 is none of its own"
    taken = readings(whole)
    assert readings(run).equals(taken[taken["step"] <= 4].reset_index(drop=True))
    capsys.readouterr()
    assert start(ruled(tmp_path, "weights_median > 1 and step >= 2")).action == "skipped"
    assert repro(["runs", "list", str(tmp_path)]) == 0
    assert repro(["runs", "show", str(run.path)]) == 0
    said = capsys.readouterr().out
    assert said.count(state["reason"]) == 2
    assert "stopped" in said


def test_page_and_weights_and_biases_say_why(tmp_path: Path) -> None:
    config = from_mapping({"model.network": "resnet8"})
    run = RunDirectory.prepare(tmp_path / "runs" / "single" / "run", to_yaml(config))
    run.update_state(status="stopped", step=4, reason="step >= 2 (step is 4)", final={"test_accuracy": 0.25})
    page = build([tmp_path / "runs"], tmp_path / "out").read_text(encoding="utf-8")
    assert "stopped at step 4" in page
    assert "step &gt;= 2 (step is 4)" in page
    assert "25.00" in page
    remote = Mock(summary={})
    close_run(remote, run.state, run.status)
    assert remote.summary["reason"] == "step >= 2 (step is 4)"
    remote.mark_preempting.assert_not_called()
    remote.finish.assert_called_once_with(exit_code=0)


def test_it_ends_within_an_epoch_where_something_was_measured(tmp_path: Path) -> None:
    run = start(ruled(tmp_path, "weights_median > 1", measure__at_steps=(2,), training__schedule="constant")).run
    assert (run.status, run.state["step"]) == ("stopped", 2)
    assert run.saved_checkpoints()[-1].name == "step-00000002.ckpt"
    assert metrics(run)["step"].max() == 2
    assert set(readings(run)["step"]) == {0, 2}


def test_a_rule_that_holds_at_the_end_alone_ends_nothing(tmp_path: Path) -> None:
    run = start(ruled(tmp_path, "step >= 9")).run
    assert (run.status, run.state["step"], run.state.get("reason")) == ("finished", 12, None)


@pytest.mark.slow
def test_a_run_killed_after_its_end_trains_no_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = "weights_median > 1 and step >= 2"
    reference = start(ruled(tmp_path / "whole", rule)).run

    def killed(_self: EvaluatedModule) -> None:
        raise RuntimeError("killed")

    config = ruled(tmp_path / "killed", rule)
    with monkeypatch.context() as patch:
        patch.setattr(EvaluatedModule, "on_test_start", killed)
        with pytest.raises(RuntimeError, match="killed"):
            start(config)
    run = start(config).run
    assert (run.status, run.state["step"], len(run.lives)) == ("stopped", 4, 2)
    assert run.state["reason"] == reference.state["reason"]
    assert records(run) == records(reference)
    for name, value in weights(reference).items():
        assert torch.equal(weights(run)[name], value), name
