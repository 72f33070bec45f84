from __future__ import annotations

import math

import pytest
import torch

from repro.spectra.lanczos import lanczos, signs


def symmetric(eigenvalues: list[float], seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    side = len(eigenvalues)
    turn = torch.linalg.qr(torch.randn(side, side, generator=generator, dtype=torch.float64)).Q
    return turn @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ turn.T


def test_as_many_steps_as_the_side_find_all_eigenvalues() -> None:
    matrix = symmetric([5.0, 3.0, 1.0, -2.0])
    found = lanczos(lambda vector: matrix @ vector, torch.ones(4, dtype=torch.float64), steps=9, tolerance=0.0)
    assert found.values.tolist() == pytest.approx([-2, 1, 3, 5])
    assert float(found.errors.max()) < 1e-10


def test_ends_come_first_and_errors_bound_how_far_they_are_off() -> None:
    eigenvalues = [*torch.linspace(0, 1, 198).tolist(), 10.0, -4.0]
    matrix = symmetric(eigenvalues)
    start = torch.randn(200, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for steps in (4, 8, 30):
        found = lanczos(lambda vector: matrix @ vector, start, steps=steps, tolerance=1e-9)
        assert abs(float(found.values[-1]) - 10) <= float(found.errors[-1]) + 1e-9
        assert abs(float(found.values[0]) + 4) <= float(found.errors[0]) + 1e-9
    assert float(found.values[-1]) == pytest.approx(10, rel=1e-9)
    assert len(found.values) < 30, "it ends when the ends are exact"


def test_an_invariant_subspace_ends_it_and_nan_is_nan() -> None:
    matrix = torch.diag(torch.tensor([3.0, 2.0, 1.0]))
    found = lanczos(lambda vector: matrix @ vector, torch.tensor([0.0, 1.0, 0.0]), steps=3)
    assert found.values.tolist() == [2.0]
    broken = lanczos(lambda vector: vector * math.nan, torch.ones(3), steps=3)
    assert broken.values.isnan().all()


def test_signs_give_the_trace_of_a_diagonal_matrix_exactly_and_of_others_on_average() -> None:
    matrix = symmetric([4.0, 1.0, 1.0, -1.0])
    drawn = signs(4, 4000, torch.Generator().manual_seed(0), matrix)
    sums = torch.tensor([float(vector @ matrix @ vector) for vector in drawn])
    assert abs(float(sums.mean()) - 5) < 4 * float(sums.std()) / 4000**0.5
    (vector,) = signs(4, 1, torch.Generator().manual_seed(0), matrix)
    assert float(vector @ torch.diag(matrix.diag()) @ vector) == pytest.approx(5)
