"""The dials of both kinds of skip connections, in runs of their own: their ends are networks that there were before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from repro.config import Config, from_mapping, identity
from repro.errors import UserError
from repro.runs.start import start
from repro.runs.validation import check


def config(folder: Path, **model: Any) -> Config:
    return from_mapping(
        {
            "model": {"width": 4, **model},
            "data": {"batch_size": 32, "train_size": 96, "test_size": 50, "evaluation_batch_size": 50},
            "training": {"warmup_steps": 2, "learning_rate": 0.05},
            "trainer": {"max_epochs": 2, "accelerator": "cpu", "progress": "none"},
            "measure": {"measurements": []},
            "runs": str(folder),
        }
    )


def outcome(folder: Path, **model: Any) -> tuple[dict[str, torch.Tensor], Any]:
    run = start(config(folder, **model)).run
    return torch.load(run.saved_checkpoints()[-1], weights_only=True)["state_dict"], run.state["final"]


@pytest.mark.parametrize(
    ("dialled", "known"),
    [
        ({"network": "resnet14", "skip_strength": 0}, {"network": "plainnet14"}),
        ({"network": "resnet14", "skip_strength": 1}, {"network": "resnet14"}),
        ({"network": "cnn13", "skip_neurons": 40, "skip_scale": 0}, {"network": "cnn13"}),
        ({"network": "cnn13", "skip_neurons": 40, "skip_scale": 1}, {"network": "cnn13", "skip_neurons": 40}),
    ],
)
def test_an_end_of_a_dial_is_the_network_without_it_bit_for_bit(
    dialled: dict[str, Any], known: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    (weights, final), (expected, result) = outcome(tmp_path, **dialled), outcome(tmp_path, **known)
    assert list(weights) == list(expected)
    assert all(map(torch.equal, weights.values(), expected.values()))
    assert final == result


def test_an_option_that_is_not_used_changes_no_runs_identity() -> None:
    default = identity(Config(), "x")
    for key in ("skip_strength", "skip_scale", "normalization_groups"):
        assert identity(from_mapping({f"model.{key}": None}), "x") == default
    assert identity(from_mapping({"model.skip_strength": 1}), "x") == identity(
        from_mapping({"model.skip_strength": 1.0}), "x"
    )


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"skip_scale": 0.5}, "set model.skip_neurons with it"),
        ({"skip_scale": 2, "skip_neurons": 5}, "model.skip_scale is 2.0; allowed: a number from 0 to 1, or learned"),
        ({"skip_scale": 0.5, "skip_neurons": 5, "train": "output"}, "absorb any factor"),
        ({"skip_scale": 0, "skip_neurons": 5, "skip_head": "replace"}, "leaves no output"),
        ({"skip_strength": -0.1}, "model.skip_strength is -0.1; allowed: a number from 0 to 1, or learned"),
        ({"skip_strength": 0.5, "network": "plainnet14"}, "plainnet does not take skip_strength"),
    ],
)
def test_refused(model: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        check(config(tmp_path, **model))
    assert words in str(caught.value)
