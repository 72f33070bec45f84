"""Work in threads: the same values, and nothing of it left behind."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from repro.spectra import cost, mode_conditioning, mode_conditionings
from repro.spectra.sharing import assign, in_threads

SHAPES = [(64, 64, 3, 3)] * 5 + [(128, 64, 1, 1)] * 3 + [(32, 32, 3, 3)] * 4 + [(300, 200)] * 2 + [(0, 3), (7,)]


@pytest.fixture
def team() -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)


def layers() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    found = [torch.randn(shape, generator=generator) for shape in SHAPES]
    found[1][1] = found[1][0]  # singular
    found[2][0, 0] = torch.nan
    found[9] *= 1e30
    return found


def columns(tensors: list[Tensor]) -> Tensor:
    found = mode_conditionings(tensors)
    names = ("sigma_max", "sigma_min", "condition_number", "rank", "finite")
    return torch.stack([torch.cat([getattr(each, name).double() for each in found]) for name in names])


def test_values_do_not_depend_on_the_threads(team: int) -> None:
    together = columns(layers())
    torch.set_num_threads(1)
    torch.testing.assert_close(together, columns(layers()), rtol=1e-10, atol=1e-25, equal_nan=True)


def test_they_are_what_each_tensor_gives_alone(team: int) -> None:
    for tensor, found in zip(layers(), mode_conditionings(layers()), strict=True):
        alone = mode_conditioning(tensor)
        torch.testing.assert_close(found.condition_number, alone.condition_number, rtol=1e-9, atol=0, equal_nan=True)


def test_a_weight_that_requires_a_gradient(team: int) -> None:
    weights = [tensor.requires_grad_() for tensor in layers()]
    assert not columns(weights).requires_grad


def test_in_inference_mode(team: int) -> None:
    expected = columns(layers())
    with torch.inference_mode():
        torch.testing.assert_close(columns(layers()).clone(), expected, equal_nan=True)


def test_torchs_own_threads_stay_as_they_were(team: int) -> None:
    columns(layers())
    seen = [torch.get_num_threads()]
    other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert seen == [team, team]


def test_an_error_in_a_thread_is_told(team: int) -> None:
    def work(items: list[int]) -> None:
        raise ValueError(f"item {items[0]}")

    with pytest.raises(ValueError, match="item"):
        in_threads(work, [1e9] * 6)


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        ([1e9] * 6, [[0, 1], [2, 3], [4, 5]]),
        ([1e9, 1e9, 9e9, 1e9, 1e9, 1e9, 1e9], [[2], [0, 1], [3, 4], [5, 6]]),  # one is dearer than a fair share
        ([1e9, 1e9], [[0], [1]]),  # fewer than threads
        ([1e9], [[0]]),
        ([1.0] * 6, [[0, 1, 2, 3, 4, 5]]),  # not worth a thread
        ([], [[]]),
    ],
)
def test_who_does_what(team: int, costs: list[float], expected: list[list[int]]) -> None:
    calls: list[tuple[list[int], str, int]] = []
    in_threads(lambda items: calls.append((items, threading.current_thread().name, torch.get_num_threads())), costs)
    assert sorted(call[0] for call in calls) == sorted(expected)
    for items, thread, of_torch in calls:
        here = len(expected) == 1 or items == [2]
        assert thread.startswith("spectra") != here
        assert of_torch == (team if here else 1)


@pytest.mark.slow
def test_a_forked_process_has_threads_of_its_own() -> None:
    """A fork takes no threads along: to hand work to those of the parent would wait for ever."""
    program = """
import os, torch
from repro.spectra import mode_conditionings
torch.set_num_threads(2)
tensors = [torch.randn(64, 64, 3, 3) for _ in range(8)]
mode_conditionings(tensors)
child = os.fork()
if child == 0:
    torch.set_num_threads(1)  # OpenMP's team does not outlive a fork either
    from repro.spectra.sharing import in_threads
    torch.get_num_threads = lambda: 2
    done = []
    in_threads(done.append, [1e9] * 4)
    os._exit(0 if sorted(sum(done, [])) == [0, 1, 2, 3] else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert told.stdout.strip() == "0", told.stderr


def test_dealing_gives_the_dearest_first() -> None:
    assert assign([3.0, 5.0, 1.0, 4.0], 2) == [[1, 2], [0, 3]]
    assert assign([], 2) == [[], []]


def test_items_that_are_alike_stay_together_where_that_is_even() -> None:
    assert assign([1.0, 2.0] * 4 + [1.0] * 4, 2) == [[1, 3, 5, 7], [0, 2, 4, 6, 8, 9, 10, 11]]
    assert assign([1.0] * 6, 3) == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize("shape", [(48, 20, 1, 1), (1, 48, 20), (20, 1, 48, 1)])
def test_a_matrix_with_dimensions_of_size_one_is_one_matrix(shape: tuple[int, ...]) -> None:
    """As a 1×1 convolution's weight: computed once, told for both modes."""
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(1)).double()
    found = mode_conditioning(tensor)
    values = np.linalg.svd(tensor.squeeze().numpy(), compute_uv=False)
    for mode, size in enumerate(shape):
        kappa = 1.0 if size == 1 else values[0] / values[-1]
        largest = np.linalg.norm(values) if size == 1 else values[0]
        assert found.condition_number[mode].item() == pytest.approx(kappa, rel=1e-9)
        assert found.sigma_max[mode].item() == pytest.approx(largest, rel=1e-12)
    assert cost((48, 20, 1, 1), 2) == cost((48, 20))
