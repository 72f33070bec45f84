from __future__ import annotations

import math

import numpy as np
import pytest
import tensorly
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from repro.errors import UserError
from repro.spectra import conditioning, hosvd_singular_values, mode_conditioning, mode_conditionings, unfold


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def reference(tensor: Tensor) -> list[np.ndarray]:
    return [
        np.linalg.svd(tensorly.unfold(tensor.double().numpy(), mode), compute_uv=False) for mode in range(tensor.ndim)
    ]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 2**32 - 1), st.sampled_from([None, 7]))
def test_hosvd_values_are_those_of_tensorlys_unfoldings(shape: list[int], seed: int, block: int | None) -> None:
    tensor = numbers(*shape, seed=seed)
    found = hosvd_singular_values(tensor, block=block)
    assert len(found) == len(shape)
    for values, expected in zip(found, reference(tensor), strict=True):
        assert values.dtype == torch.float64
        np.testing.assert_allclose(values.numpy(), expected, rtol=1e-6, atol=1e-13)
        assert (values.diff() <= 0).all()


def test_hosvd_of_a_tensor_of_low_multilinear_rank() -> None:
    core = numbers(2, 3, 2).double()
    factors = [numbers(size, rank).double() for size, rank in ((7, 2), (6, 3), (5, 2))]
    tensor = torch.einsum("abc,ia,jb,kc->ijk", core, *factors)
    result = mode_conditioning(tensor)
    assert result.rank.tolist() == [2, 3, 2]
    assert result.condition_number.isinf().all()
    squares = [values.square().sum().item() for values in hosvd_singular_values(tensor)]
    assert squares == pytest.approx([tensor.square().sum().item()] * 3)  # each mode carries the whole norm


LAYOUTS = {
    "contiguous": numbers(12, 6, 5, 4),
    "channels last": numbers(12, 6, 5, 4).to(memory_format=torch.channels_last),
    "strided": numbers(24, 6, 10, 4)[1::2, :, ::2],
    "tall": numbers(100, 3, 2),
    "matrix": numbers(7, 20),
    "turned matrix": numbers(7, 20).T,
    "bfloat16": numbers(12, 6, 5, 4).bfloat16(),
    "float64": numbers(12, 6, 5, 4).double(),
    "vector": numbers(9),
}


@pytest.mark.parametrize("block", [None, 1, 100, 999])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_mode_conditioning_is_the_conditioning_of_the_unfoldings(layout: str, block: int | None) -> None:
    tensor = LAYOUTS[layout]
    expected = conditioning([unfold(tensor, mode) for mode in range(tensor.ndim)])
    found = mode_conditioning(tensor, block=block)
    for name in ("sigma_max", "sigma_min", "condition_number", "rank", "finite"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-11, atol=0)


def test_modes_that_need_the_exact_path() -> None:
    """Mode 1 is singular, mode 2 has κ = 1e6, the others are well conditioned."""
    tensor = numbers(10, 4, 5, 6).double()
    tensor[:, 1] = tensor[:, 0]
    left, _, right = torch.linalg.svd(unfold(tensor, 2), full_matrices=False)
    values = torch.logspace(0, -6, 5, dtype=torch.float64)
    tensor = ((left * values) @ right).reshape(5, 10, 4, 6).movedim(0, 2)
    for data in (tensor, tensor.float()):
        for block in (None, 60):
            result = mode_conditioning(data, block=block)
            wanted = [svd[0] / svd[-1] for svd in reference(data)]
            assert result.condition_number[[0, 2, 3]].tolist() == pytest.approx(
                [wanted[m] for m in (0, 2, 3)], rel=1e-6
            )
            assert result.condition_number[1] == math.inf
            assert result.rank[1] < 4


def test_many_tensors_together() -> None:
    tensors = [numbers(16, 16, 3, 3, seed=seed) for seed in range(5)]
    tensors += [numbers(10, 64), numbers(8), tensors[0] * 1e30, tensors[1] * math.nan, torch.zeros(2, 0, 3)]
    together = mode_conditionings(tensors)
    assert [len(result.rank) for result in together] == [tensor.ndim for tensor in tensors]
    for tensor, found in zip(tensors, together, strict=True):
        alone = mode_conditioning(tensor)
        for name in ("sigma_max", "sigma_min", "condition_number", "rank"):
            torch.testing.assert_close(getattr(found, name), getattr(alone, name), rtol=1e-11, atol=0, equal_nan=True)
    assert mode_conditionings([]) == []


def test_tolerance_reaches_every_mode() -> None:
    result = mode_conditioning(numbers(5, 6, 7), tolerance=1.0)
    assert result.condition_number.isinf().all()
    assert result.rank.tolist() == [0, 0, 0]


@pytest.mark.parametrize("tensor", [torch.tensor(1.0), torch.zeros(2, 2, dtype=torch.complex64)])
def test_what_has_no_modes(tensor: Tensor) -> None:
    for function in (mode_conditioning, hosvd_singular_values):
        with pytest.raises(UserError, match="at least 1 dimension"):
            function(tensor)


def test_memory_stays_at_a_few_blocks() -> None:
    """A representation much larger than a block: torch's own allocations, by its profiler."""
    tensor = numbers(64, 16, 32, 32)
    mode_conditioning(tensor)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        mode_conditioning(tensor)
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    held, peak = 0, 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    assert events
    assert peak < 4 * 2**19 * 8
