from __future__ import annotations

import numpy as np
import pytest
import tensorly
import torch
from torch import Tensor

from repro.errors import UserError
from repro.spectra import unfold
from repro.spectra.unfold import short_blocks


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(5,), (3, 4), (4, 3, 2), (2, 3, 4, 5), (7, 1, 1, 2)])
def test_unfold_is_tensorlys(shape: tuple[int, ...]) -> None:
    tensor = numbers(*shape)
    for mode in range(len(shape)):
        expected = tensorly.unfold(tensor.numpy(), mode)
        np.testing.assert_array_equal(unfold(tensor, mode).numpy(), expected)
        np.testing.assert_array_equal(unfold(tensor, mode - len(shape)).numpy(), expected)


def test_unfold_of_an_empty_tensor() -> None:
    assert [unfold(torch.zeros(2, 0, 3), mode).shape for mode in range(3)] == [(2, 0), (0, 6), (3, 0)]


def test_the_first_mode_is_a_view() -> None:
    tensor = numbers(4, 3, 2)
    assert unfold(tensor, 0).data_ptr() == tensor.data_ptr()


@pytest.mark.parametrize(("shape", "mode"), [((2, 3), 2), ((2, 3), -3), ((), 0)])
def test_a_mode_that_is_not_there(shape: tuple[int, ...], mode: int) -> None:
    with pytest.raises(UserError, match="dimensions along mode"):
        unfold(torch.zeros(shape), mode)


LAYOUTS = {
    "contiguous": numbers(6, 5, 4, 3),
    "channels last": numbers(6, 5, 4, 3).to(memory_format=torch.channels_last),
    "permuted": numbers(3, 6, 5, 4).permute(2, 0, 3, 1),
    "strided": numbers(12, 5, 8, 3)[::2, :, 1::2],
    "expanded": numbers(6, 1, 4, 3).expand(6, 5, 4, 3),
    "tall": numbers(200, 2, 3),
    "long last": numbers(2, 3, 500),
    "matrix": numbers(40, 7),
    "turned matrix": numbers(40, 7).T,
    "vector": numbers(50),
    "half": numbers(6, 5, 4).to(torch.bfloat16),
}


@pytest.mark.parametrize("elements", [1, 24, 10**6])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_blocks_are_the_unfolding_up_to_the_order_of_columns(layout: str, elements: int) -> None:
    tensor = LAYOUTS[layout]
    for mode in range(tensor.ndim):
        expected = unfold(tensor, mode).double()
        if expected.shape[0] > expected.shape[1]:
            expected = expected.T
        blocks = [block.clone() for block in short_blocks(tensor, mode, elements=elements)]
        assert all(block.dtype == torch.float64 for block in blocks)
        together = torch.cat(blocks, dim=1)
        assert together.shape == expected.shape
        if tensor.shape[mode] ** 2 <= tensor.numel():  # not transposed: the rows in order, the columns in any order
            key = torch.arange(1.0, expected.shape[0] + 1, dtype=torch.float64).sqrt()
            order, wanted = (key @ together).argsort(stable=True), (key @ expected).argsort(stable=True)
            torch.testing.assert_close(together[:, order], expected[:, wanted], rtol=0, atol=0)
        values, reference = (np.linalg.svd(m.numpy(), compute_uv=False) for m in (together, expected))
        np.testing.assert_allclose(values, reference, rtol=1e-12, atol=1e-12)


def test_a_block_is_no_larger_than_asked_for() -> None:
    sizes = [block.shape for block in short_blocks(numbers(10, 1000), 0, elements=300)]
    assert set(sizes) == {(10, 30), (10, 10)}
    assert sum(columns for _, columns in sizes) == 1000
    sizes = [block.shape for block in short_blocks(numbers(10, 1000), 0, elements=30)]
    assert set(sizes) == {(10, 20)}  # twice as many columns as rows at least
