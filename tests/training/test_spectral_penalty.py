from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.config import Config, TrainingConfig, identity
from repro.errors import UserError
from repro.networks import create_network
from repro.training.spectral_penalty import spread, total_spread, weight_matrices


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 6), st.floats(0.01, 100.0))
def test_the_spread_is_the_variation_of_squared_singular_values(
    seed: int, rows: int, columns: int, scale: float
) -> None:
    matrix = torch.randn(2, rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = spread(matrix)
    squares = np.linalg.svd(matrix.numpy(), compute_uv=False) ** 2
    np.testing.assert_allclose(found, squares.var(1) / squares.mean(1) ** 2, atol=1e-10)
    torch.testing.assert_close(spread(scale * matrix), found, atol=1e-10, rtol=1e-9)
    assert ((found >= -1e-12) & (found <= min(rows, columns) - 1 + 1e-9)).all()


def test_it_vanishes_for_equal_singular_values_alone() -> None:
    orthogonal = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    assert spread(3 * orthogonal[None, :3]).item() == pytest.approx(0, abs=1e-12)
    assert spread(torch.diag(torch.tensor([1.0, 0.0, 0.0]))[None]).item() == pytest.approx(2)


@pytest.mark.slow
def test_descending_it_makes_singular_values_equal() -> None:
    torch.manual_seed(0)
    network = create_network("plainnet8", width=4, in_channels=1, image_size=8)
    before = total_spread(weight_matrices(network)).item()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02)
    for _ in range(100):
        optimizer.zero_grad()
        total_spread(weight_matrices(network)).backward()
        optimizer.step()
    assert total_spread(weight_matrices(network)).item() < 0.02 * before
    matrices = weight_matrices(network)
    assert len(matrices) == 8
    assert all(torch.linalg.cond(each.detach()) < 1.2 for each in matrices)


def test_what_does_not_train_is_left_out() -> None:
    network = create_network("plainnet8", width=4, in_channels=1, image_size=8)
    for parameter in network.stem.parameters():  # type: ignore[union-attr]
        parameter.requires_grad_(False)
    assert len(weight_matrices(network)) == 7


def test_the_option_is_refused_below_zero_and_changes_no_identity_at_zero() -> None:
    with pytest.raises(UserError, match=r"training\.spectral_penalty is -1\.0; allowed: 0 or more"):
        TrainingConfig(spectral_penalty=-1.0)
    config = Config()
    zero = dataclasses.replace(config, training=TrainingConfig(spectral_penalty=0.0))
    some = dataclasses.replace(config, training=TrainingConfig(spectral_penalty=0.1))
    assert identity(zero, "f") == identity(config, "f") != identity(some, "f")


@pytest.mark.slow
def test_a_run_with_the_penalty_ends_with_more_equal_singular_values(tmp_path: Path) -> None:
    from repro.cli import run
    from repro.measurements import MEASUREMENTS
    from repro.records import find_runs, metrics, readings

    medians, objectives = [], []
    for penalty in ("0", "3"):
        folder = tmp_path / penalty
        flags = ["--model.network=plainnet8", "--model.width=4", "--data.train_size=64", "--data.batch_size=16"]
        flags += ["--trainer.max_epochs=5", "--trainer.progress=none", "--trainer.accelerator=cpu", "--seed=0"]
        flags += ["--data.evaluation_batch_size=1000", "--measure.probe_size=16", "--measure.measurements=[weights]"]
        assert run(["fit", *flags, f"--training.spectral_penalty={penalty}", f"--runs={folder}"]) == 0
        (found,) = find_runs([folder])
        medians.append(float(MEASUREMENTS["weights"].kappas[0].last_by_layer(readings(found))["kappa"].median()))
        table = metrics(found).pivot_table(index="step", columns="metric", values="value")
        objectives.append(float((table["step/objective"] - table["step/cross_entropy"]).iloc[0]))
    assert medians[1] < medians[0]
    assert objectives[1] > objectives[0] + 1, "the objective has the penalty in it"
