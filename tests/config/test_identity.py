from __future__ import annotations

import pytest

from repro.config import Config, former_identities, from_mapping, identity, run_name


@pytest.mark.parametrize(
    "change",
    [
        {"model.width": 8},
        {"training.momentum": 0.5},
        {"seed": 1},
        {"data.batch_size": 64},
        {"data.train_size": 100},
        {"trainer.precision": "bf16"},
        {"trainer.compile": "blocks"},
        {"data.augmentation": "crop_flip"},
        {"trainer.max_epochs": 9},
        {"training.optimizer": "muon"},
        {"training.schedule": "constant"},
        {"training.clip_gradients": 1.0},
        {"training.max_steps": 9},
    ],
)
def test_what_determines_the_result_is_in_the_identity(change: dict[str, object]) -> None:
    assert identity(from_mapping(change), "x") != identity(Config(), "x")


@pytest.mark.parametrize(
    "change",
    [
        {"data.root": "elsewhere"},
        {"runs": "there"},
        {"trainer.devices": 4},
        {"measure.every_n_epochs": 5},
        {"log.wandb": "disabled"},
        {"data.evaluation_batch_size": 7},
        {"name": "other"},
    ],
)
def test_paths_logs_intervals_and_devices_are_not(change: dict[str, object]) -> None:
    assert identity(from_mapping(change), "x") == identity(Config(), "x")


def test_processes_are_where_each_normalises_its_own_part() -> None:
    local = {"training.batch_statistics": "local"}
    assert identity(from_mapping({**local, "trainer.devices": 2}), "x") != identity(from_mapping(local), "x")


def test_what_is_measured_and_evaluated_is_where_a_rule_reads_it() -> None:
    ruled = {"training.stop_when": "step >= 3"}
    assert identity(from_mapping(ruled), "x") != identity(Config(), "x")
    for change in ({"measure.every_n_epochs": 5}, {"trainer.evaluate_every_n_epochs": 5}):
        assert identity(from_mapping({**ruled, **change}), "x") != identity(from_mapping(ruled), "x")


def test_the_names_of_older_versions_are_known() -> None:
    """Computed by the versions before, for 10 epochs, for others and compiled; those by default have not changed."""
    config = from_mapping({"model.network": "resnet8", "model.width": 4, "seed": 3})
    assert identity(config, "x") == former_identities(config, "x")[0] == "84d7d755"
    longer = from_mapping({"model.network": "resnet8", "model.width": 4, "seed": 3, "trainer.max_epochs": 4})
    assert former_identities(longer, "x") == (identity(longer, "x"), "84d7d755")
    compiled = from_mapping({"model.network": "resnet8", "model.width": 4, "seed": 3, "trainer.compile": "network"})
    assert former_identities(compiled, "x") == ("84d7d755", "84d7d755") != (identity(compiled, "x"),) * 2
    assert run_name(longer, Config(), "x").startswith("resnet8-width4-epochs4-seed3-")


def test_other_data_are_another_run() -> None:
    assert identity(Config(), "x") != identity(Config(), "y")


def test_the_name_says_what_differs_from_the_base() -> None:
    config = from_mapping({"model.network": "plainnet20", "model.width": 8, "data.batch_size": 32, "seed": 4})
    name = run_name(config, from_mapping({"data.batch_size": 32}), "x")
    assert name == f"plainnet20-width8-seed4-{identity(config, 'x')}"


def test_a_given_name_replaces_the_readable_part() -> None:
    config = from_mapping({"name": "mine"})
    assert run_name(config, Config(), "x") == f"mine-seed0-{identity(config, 'x')}"
