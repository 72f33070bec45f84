from __future__ import annotations

import pytest

from repro.config import Config, from_mapping, identity, run_name


@pytest.mark.parametrize(
    "change",
    [
        {"model.width": 8},
        {"training.momentum": 0.5},
        {"seed": 1},
        {"data.batch_size": 64},
        {"data.train_size": 100},
        {"trainer.precision": "bf16"},
        {"data.augmentation": "crop_flip"},
    ],
)
def test_what_determines_the_result_is_in_the_identity(change: dict[str, object]) -> None:
    assert identity(from_mapping(change), "x") != identity(Config(), "x")


@pytest.mark.parametrize(
    "change",
    [
        {"data.root": "elsewhere"},
        {"runs": "there"},
        {"trainer.max_epochs": 99},
        {"trainer.devices": 4},
        {"measure.every_n_epochs": 5},
        {"log.wandb": "disabled"},
        {"data.evaluation_batch_size": 7},
        {"name": "other"},
    ],
)
def test_paths_logs_intervals_and_devices_are_not(change: dict[str, object]) -> None:
    assert identity(from_mapping(change), "x") == identity(Config(), "x")


def test_other_data_are_another_run() -> None:
    assert identity(Config(), "x") != identity(Config(), "y")


def test_the_name_says_what_differs_from_the_base() -> None:
    config = from_mapping({"model.network": "plainnet20", "model.width": 8, "data.batch_size": 32, "seed": 4})
    name = run_name(config, from_mapping({"data.batch_size": 32}), "x")
    assert name == f"plainnet20-width8-seed4-{identity(config, 'x')}"


def test_a_given_name_replaces_the_readable_part() -> None:
    config = from_mapping({"name": "mine"})
    assert run_name(config, Config(), "x") == f"mine-seed0-{identity(config, 'x')}"
