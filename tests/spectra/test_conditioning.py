from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from repro.errors import UserError
from repro.spectra import Conditioning, conditioning, cost, default_tolerance, unfold
from repro.spectra.singular_values import FAST_LIMIT

EPS = torch.finfo(torch.float64).eps
FLOAT32_EPS = torch.finfo(torch.float32).eps


def orthonormal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    return torch.linalg.qr(torch.randn(rows, columns, generator=generator, dtype=torch.float64)).Q


def with_values(values: Tensor, rows: int, columns: int, *, seed: int = 0) -> Tensor:
    """U diag(values) Vᵀ with random orthonormal U and V."""
    generator = torch.Generator().manual_seed(seed)
    left, right = orthonormal(rows, len(values), generator), orthonormal(columns, len(values), generator)
    return (left * values) @ right.T


def spread(count: int, condition: float, kind: str) -> Tensor:
    """Singular values from 1 down to 1/condition."""
    if count == 1:
        return torch.ones(1, dtype=torch.float64)
    if kind == "geometric":
        return torch.logspace(0, -math.log10(condition), count, dtype=torch.float64)
    values = torch.full((count,), 1 / condition if kind == "one large" else 1.0, dtype=torch.float64)
    values[0], values[-1] = 1.0, 1 / condition
    return values


def lapack(matrix: Tensor) -> np.ndarray:
    return np.linalg.svd(matrix.double().numpy(), compute_uv=False)


def error_bound(condition: float) -> float:
    """What `conditioning` promises of κ and σmin, relative: 1e-6 or, beyond κ = 1e8, a small multiple of eps·κ."""
    return max(1e-6, 10 * EPS * condition)


def entry(result: Conditioning, index: int = 0) -> tuple[float, float, float, float, bool]:
    return (
        result.sigma_max[index].item(),
        result.sigma_min[index].item(),
        result.condition_number[index].item(),
        result.rank[index].item(),
        bool(result.finite[index]),
    )


shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@settings(deadline=None, max_examples=150)
@given(shapes, st.floats(0, 15), st.sampled_from(["geometric", "one small", "one large"]), st.integers(0, 2**32 - 1))
def test_constructed_condition_numbers(shape: tuple[int, int], exponent: float, kind: str, seed: int) -> None:
    count, condition = min(shape), 10**exponent if min(shape) > 1 else 1.0
    matrix = with_values(spread(count, condition, kind), *shape, seed=seed)
    reference = lapack(matrix)
    largest, smallest, number, rank, finite = entry(conditioning([matrix]))
    assert finite
    assert rank == count
    assert largest == pytest.approx(reference[0], rel=1e-13)
    assert smallest == pytest.approx(reference[-1], rel=error_bound(condition))
    assert number == pytest.approx(reference[0] / reference[-1], rel=error_bound(condition))
    assert number == pytest.approx(condition, rel=error_bound(condition))


@settings(deadline=None, max_examples=100)
@given(shapes, st.floats(0, 12), st.integers(0, 2**32 - 1), st.integers(-30, 30))
def test_float32_data_has_the_values_of_its_float64_svd(
    shape: tuple[int, int], exponent: float, seed: int, scale: int
) -> None:
    condition = 10**exponent
    matrix = (with_values(spread(min(shape), condition, "geometric"), *shape, seed=seed) * 10.0**scale).float()
    reference = lapack(matrix)
    largest, smallest, number, rank, _ = entry(conditioning([matrix]))
    true = reference[0] / reference[-1]
    assert largest == pytest.approx(reference[0], rel=1e-13)
    assert smallest == pytest.approx(reference[-1], rel=error_bound(true))
    if abs(true * FLOAT32_EPS - 1) > 1e-5:  # away from the threshold
        assert number == (math.inf if true > 1 / FLOAT32_EPS else pytest.approx(true, rel=error_bound(true)))
    if (abs(reference / reference[0] / FLOAT32_EPS - 1) > 1e-5).all():
        assert rank == (reference > FLOAT32_EPS * reference[0]).sum()


@settings(deadline=None, max_examples=100)
@given(shapes, st.data(), st.sampled_from([torch.float32, torch.float64]))
def test_rank_of_deficient_matrices(shape: tuple[int, int], data: st.DataObject, dtype: torch.dtype) -> None:
    rank = data.draw(st.integers(0, min(shape)))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**32 - 1)))
    # whole numbers, so that the product is exact and so is its rank
    left = torch.randint(-9, 10, (shape[0], rank), generator=generator).to(dtype)
    right = torch.randint(-9, 10, (rank, shape[1]), generator=generator).to(dtype)
    matrix = left @ right
    reference = lapack(matrix)
    true = np.linalg.matrix_rank(matrix.double().numpy())
    if dtype == torch.float32:  # of full rank, a product can still lie beyond the rule of float32
        ratios = reference[:true] / (reference[0] * FLOAT32_EPS) if true else reference[:0]
        assume((abs(ratios - 1) > 1e-5).all())
        expected = (ratios > 1).sum()
    else:
        expected = true
    largest, smallest, number, found, _ = entry(conditioning([matrix]))
    assert found == expected
    assert math.isinf(number) == (expected < min(shape))
    if true < min(shape):
        assert smallest <= 4 * EPS * largest


SINGULAR: dict[str, tuple[Callable[[int, int], Tensor], int]] = {
    "ones": (lambda n, m: torch.ones(n, m), 1),
    "one entry": (lambda n, m: torch.eye(n, m).roll(1) * (torch.arange(n) == 0)[:, None], 1),
    "equal rows": (lambda n, m: torch.randn(m, generator=torch.Generator().manual_seed(1)).expand(n, m).clone(), 1),
    "two kinds of rows": (
        lambda n, m: torch.randn(2, m, generator=torch.Generator().manual_seed(2)).repeat(n, 1)[:n],
        2,
    ),
    "zero rows and columns": (lambda n, m: torch.nn.functional.pad(torch.eye(3), (0, m - 3, 0, n - 3)), 3),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(8, 8), (50, 30), (100, 100), (64, 576), (300, 300)])
@pytest.mark.parametrize("name", SINGULAR)
def test_exactly_singular(name: str, shape: tuple[int, int], dtype: torch.dtype) -> None:
    make, rank = SINGULAR[name]
    matrix = make(*shape).to(dtype)
    for block in (None, 1000):  # at once, and as a stream of blocks
        largest, smallest, number, found, finite = entry(conditioning([matrix], block=block))
        assert (number, found, finite) == (math.inf, rank, True)
        assert smallest <= 4 * EPS * largest
        assert largest == pytest.approx(lapack(matrix)[0], rel=1e-12)


def hilbert(size: int) -> Tensor:
    index = torch.arange(size, dtype=torch.float64)
    return 1 / (index[:, None] + index + 1)


def test_hilbert_matrices() -> None:
    known = {2: 19.28147006790397, 3: 524.0567775860644, 5: 476607.25024259434, 8: 15257575538.060041}
    result = conditioning([hilbert(size) for size in known])
    for number, expected in zip(result.condition_number.tolist(), known.values(), strict=True):
        assert number == pytest.approx(expected, rel=error_bound(expected))


def test_closed_forms() -> None:
    size = 24
    diagonal = torch.diag(torch.arange(1.0, size + 1, dtype=torch.float64))
    angle = math.pi / (size + 1)
    laplacian = 2 * torch.eye(size) - torch.diag(torch.ones(size - 1), 1) - torch.diag(torch.ones(size - 1), -1)
    circulant = torch.tensor(scipy.linalg.circulant(np.r_[5.0, 1.0, -2.0, np.zeros(size - 3)]))
    modulus = np.abs(np.fft.fft(np.r_[5.0, 1.0, -2.0, np.zeros(size - 3)]))
    hadamard = torch.tensor(scipy.linalg.hadamard(32), dtype=torch.float32)
    rotation = orthonormal(size, size, torch.Generator().manual_seed(0))
    golden = (1 + math.sqrt(5)) / 2
    shear = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    result = conditioning([diagonal, laplacian, circulant, hadamard, rotation, shear])
    expected = torch.tensor(
        [
            size,
            (2 + 2 * math.cos(angle)) / (2 - 2 * math.cos(angle)),
            modulus.max() / modulus.min(),
            1.0,
            1.0,
            golden**2,
        ],
        dtype=torch.float64,
    )
    torch.testing.assert_close(result.condition_number, expected, rtol=1e-11, atol=0)
    assert result.rank.tolist() == [size, size, size, 32, size, 2]


@pytest.mark.parametrize("condition", [3.0, 1e3, 2.9e4, 3.1e4, 1e6, 1e10])
def test_invariances(condition: float) -> None:
    matrix = with_values(spread(12, condition, "geometric"), 12, 30)
    generator = torch.Generator().manual_seed(3)
    turned = orthonormal(12, 12, generator) @ matrix @ orthonormal(30, 30, generator)
    shuffled = matrix[torch.randperm(12, generator=generator)][:, torch.randperm(30, generator=generator)]
    result = conditioning([matrix, turned, shuffled, matrix.T, matrix.T.contiguous(), -matrix, 3 * matrix])
    bound = 10 * EPS * condition * (condition if condition < 2 * FAST_LIMIT else 1)
    number = result.condition_number
    torch.testing.assert_close(number, number[:1].expand(7), rtol=max(bound, 1e-12), atol=0)
    torch.testing.assert_close(result.sigma_max[:6], result.sigma_max[:1].expand(6), rtol=1e-13, atol=0)


@pytest.mark.parametrize("condition", [3.0, 1e3, 1e6, 1e12])
@pytest.mark.parametrize("block", [None, 100])
def test_scaling_by_powers_of_two_is_exact(condition: float, block: int | None) -> None:
    matrix = with_values(spread(12, condition, "one small"), 12, 30)
    plain = conditioning([matrix], block=block)
    for power in (-900, -510, -300, -150, -1, 1, 150, 300, 510, 900):
        scaled = conditioning([matrix * 2.0**power], block=block)
        assert scaled.condition_number == plain.condition_number
        assert scaled.sigma_min == plain.sigma_min * 2.0**power
        assert scaled.sigma_max == plain.sigma_max * 2.0**power


@pytest.mark.parametrize("scale", [1e30, 1e-30, 1e38, 1e-44, 1e-300, 1e300])
@pytest.mark.parametrize("condition", [10.0, 1e5])
def test_huge_and_tiny_entries(scale: float, condition: float) -> None:
    dtype = torch.float32 if 1e-45 < scale < 1e39 else torch.float64
    matrix = (with_values(spread(6, condition, "geometric"), 6, 20) * scale).to(dtype)
    reference = lapack(
        matrix / scale if dtype == torch.float64 else matrix.double() / scale
    )  # free of LAPACK's scaling
    largest, smallest, number, rank, _ = entry(conditioning([matrix]))
    true = reference[0] / reference[-1]
    assert largest == pytest.approx(reference[0] * scale, rel=1e-12)
    if true < 8e6:
        assert smallest == pytest.approx(reference[-1] * scale, rel=1e-6)
        assert number == pytest.approx(true, rel=1e-6)
        assert rank == 6


def test_huge_and_tiny_entries_in_one_matrix() -> None:
    diagonal = torch.diag(torch.tensor([1e30, 1e30, 1e-30]))
    assert entry(conditioning([diagonal]))[2:4] == (math.inf, 2)
    largest, smallest, number, rank, _ = entry(conditioning([diagonal.double()], tolerance=0.0))
    assert (largest, rank) == (pytest.approx(1e30), 3)
    assert smallest == pytest.approx(1e-30, rel=1e-6)
    assert number == pytest.approx(1e60, rel=1e-6)


def test_a_float32_gram_matrix_would_be_nonsense_here() -> None:
    matrix = with_values(spread(64, 1e6, "geometric"), 64, 576).float()
    nonsense = torch.linalg.eigvalsh(matrix @ matrix.T)
    true = lapack(matrix)
    assert not 0.5 < nonsense[0].clamp(min=0).sqrt() / true[-1] < 2
    result = conditioning([matrix])
    assert result.condition_number.item() == pytest.approx(true[0] / true[-1], rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_data(dtype: torch.dtype) -> None:
    matrix = torch.randn(20, 50, generator=torch.Generator().manual_seed(0)).to(dtype)
    reference = lapack(matrix)
    largest, smallest, number, rank, _ = entry(conditioning([matrix]))
    assert (largest, smallest) == (pytest.approx(reference[0], rel=1e-12), pytest.approx(reference[-1], rel=1e-10))
    assert number == pytest.approx(reference[0] / reference[-1], rel=1e-10)
    assert rank == 20
    assert default_tolerance(dtype, (20, 50)) == FLOAT32_EPS


def test_whole_numbers_are_exact_data() -> None:
    matrix = torch.tensor([[1, 2], [3, 4]])
    assert entry(conditioning([matrix])) == entry(conditioning([matrix.double()]))
    assert entry(conditioning([torch.eye(3, dtype=torch.bool)]))[2:4] == (1.0, 3)
    assert entry(conditioning([torch.zeros(3, 4, dtype=torch.uint8)]))[2:4] == (math.inf, 0)


@pytest.mark.parametrize("block", [None, 4])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_entries_that_are_not_finite(bad: float, dtype: torch.dtype, block: int | None) -> None:
    sound = torch.randn(5, 9, generator=torch.Generator().manual_seed(0)).to(dtype)
    spoilt = sound.clone()
    spoilt[3, 2] = bad
    result = conditioning([sound, spoilt, sound], block=block)
    alone = conditioning([sound], block=block)
    assert result.finite.tolist() == [True, False, True]
    for name in ("sigma_max", "sigma_min", "condition_number", "rank"):
        values = getattr(result, name)
        assert values.isnan().tolist() == [False, True, False]
        torch.testing.assert_close(values[[0, 2]], getattr(alone, name).expand(2), rtol=1e-12, atol=0)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_without_entries(shape: tuple[int, int]) -> None:
    largest, smallest, number, rank, finite = entry(conditioning([torch.zeros(shape)]))
    assert math.isnan(largest)
    assert math.isnan(smallest)
    assert math.isnan(number)
    assert (rank, finite) == (0, True)


@pytest.mark.parametrize("shape", [(1, 7), (7, 1), (1, 1)])
def test_a_single_row_or_column(shape: tuple[int, int]) -> None:
    matrix = torch.arange(1.0, 1 + math.prod(shape)).reshape(shape)
    norm = matrix.norm().item()
    assert entry(conditioning([matrix])) == (pytest.approx(norm), pytest.approx(norm), 1.0, 1, True)
    assert entry(conditioning([matrix * 0])) == (0.0, 0.0, math.inf, 0, True)


@pytest.mark.parametrize("block", [None, 10])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_matrix(dtype: torch.dtype, block: int | None) -> None:
    assert entry(conditioning([torch.zeros(4, 6, dtype=dtype)], block=block)) == (0.0, 0.0, math.inf, 0, True)


def test_no_matrices() -> None:
    result = conditioning([])
    assert result.sigma_max.shape == result.rank.shape == result.finite.shape == (0,)


def test_a_batch_of_everything_equals_one_by_one() -> None:
    generator = torch.Generator().manual_seed(5)
    matrices = [torch.randn(shape, generator=generator) for shape in [(16, 144), (3, 768), (10, 64), (64, 10)] * 4]
    matrices += [matrix.double() for matrix in matrices[:5]] + [matrix.bfloat16() for matrix in matrices[:3]]
    matrices += [matrices[0].T, matrices[1].T.contiguous(), torch.zeros(16, 144), torch.zeros(0, 3), torch.ones(10, 64)]
    matrices += [with_values(spread(16, 10.0**k, "geometric"), 16, 144, seed=k) for k in range(1, 13)]
    matrices += [matrix.float() for matrix in matrices[-12:]]
    matrices += [torch.full((16, 144), math.nan), torch.randn(16, 144, generator=generator) * 1e30]
    order = torch.randperm(len(matrices), generator=generator).tolist()
    matrices = [matrices[index] for index in order]
    together = conditioning(matrices)
    for index, matrix in enumerate(matrices):
        alone = entry(conditioning([matrix]))
        largest, smallest, number, rank, finite = entry(together, index)
        # Adding up the same products in another order is seen in σmin as eps·κ² (fast path) or eps·κ (exact path).
        noise = EPS * alone[2] * (alone[2] if alone[2] < FAST_LIMIT else 1) if math.isfinite(alone[2]) else 0.0
        rel = 1e-12 + 4 * noise
        assert largest == pytest.approx(alone[0], rel=1e-12, nan_ok=True)
        assert number == pytest.approx(alone[2], rel=rel, nan_ok=True)
        assert (rank, finite) == (pytest.approx(alone[3], nan_ok=True), alone[4])
        if math.isfinite(number):
            assert smallest == pytest.approx(alone[1], rel=rel)


@pytest.mark.parametrize("condition", [1.0, 30.0, 1e4, 1e6, 1e9, 1e13])
@pytest.mark.parametrize("shape", [(5, 4000), (4000, 5), (60, 300), (130, 130)])
def test_block_by_block_equals_at_once(shape: tuple[int, int], condition: float) -> None:
    matrix = with_values(spread(min(shape), condition, "geometric"), *shape)
    at_once = entry(conditioning([matrix]))
    for block in (1, 5000, 7001):
        streamed = entry(conditioning([matrix], block=block))
        assert streamed[0] == pytest.approx(at_once[0], rel=1e-13)
        assert streamed[2] == pytest.approx(
            at_once[2], rel=max(1e-6 if condition > 100 else 1e-11, 10 * EPS * condition)
        )
        assert streamed[3:] == at_once[3:]


@pytest.mark.parametrize("kind", ["geometric", "one small", "one large"])
@pytest.mark.parametrize("shape", [(3, 12288), (2, 200_000), (64, 576), (128, 4096)])
@pytest.mark.parametrize("positive", [False, True])
def test_the_fast_path_is_accurate_up_to_its_limit(shape: tuple[int, int], kind: str, positive: bool) -> None:
    count, columns = shape
    values = spread(count, 0.95 * FAST_LIMIT, kind)
    generator = torch.Generator().manual_seed(0)
    right = torch.randn(columns, count, generator=generator, dtype=torch.float64)
    if positive:  # the leading direction has entries of one sign: rounding errors of sums add up
        right[:, 0] = 1
    left = orthonormal(count, count, generator)
    matrix = (left * values) @ torch.linalg.qr(right).Q.T
    reference = lapack(matrix)
    result = conditioning([matrix])
    assert result.condition_number.item() == pytest.approx(reference[0] / reference[-1], rel=1e-6)


def test_tolerance() -> None:
    matrix = torch.diag(torch.tensor([1.0, 0.5, 1e-3]))
    assert entry(conditioning([matrix]))[2:4] == (pytest.approx(1e3), 3)
    assert entry(conditioning([matrix], tolerance=0.01))[2:4] == (math.inf, 2)
    assert entry(conditioning([matrix], tolerance=0.7))[2:4] == (math.inf, 1)
    assert entry(conditioning([matrix], tolerance=0.7))[1] == pytest.approx(1e-3)  # the raw value is kept
    # σmin = tolerance · σmax counts as singular
    assert entry(conditioning([torch.diag(torch.tensor([1.0, 0.25]))], tolerance=0.25))[2:4] == (math.inf, 1)
    beyond = torch.diag(torch.tensor([1.0, 1e-8]))
    assert entry(conditioning([beyond]))[2:4] == (math.inf, 1)
    assert entry(conditioning([beyond], tolerance=0.0))[2:4] == (pytest.approx(1e8), 2)
    assert entry(conditioning([beyond.double()]))[2:4] == (pytest.approx(1e8), 2)


@pytest.mark.parametrize("tensor", [torch.zeros(3), torch.zeros(2, 2, 2), torch.zeros(2, 2, dtype=torch.complex64)])
def test_only_real_matrices(tensor: Tensor) -> None:
    with pytest.raises(UserError, match="allowed: real tensors of 2 dimensions"):
        conditioning([tensor])


def test_nothing_else_changes() -> None:
    generator = torch.Generator().manual_seed(0)
    matrices = [torch.randn(8, 20, generator=generator, requires_grad=True), torch.ones(4, 9, dtype=torch.float64)]
    copies = [matrix.detach().clone() for matrix in matrices]
    torch.manual_seed(7)
    before = torch.get_rng_state(), torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
    reference = conditioning([m.detach() for m in matrices])
    torch.set_default_dtype(torch.float16)
    try:
        with torch.device("meta"), torch.autocast("cpu", dtype=torch.bfloat16):
            result = conditioning(matrices)
        assert torch.get_default_dtype() == torch.float16
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()) == before[1:]
    for matrix, copy in zip(matrices, copies, strict=True):
        assert torch.equal(matrix, copy)
        assert matrix.grad is None
    assert torch.equal(result.condition_number, reference.condition_number)
    assert not result.sigma_max.requires_grad
    assert result.sigma_max.device.type == "cpu"


def test_results_are_float64_vectors_on_the_host() -> None:
    result = conditioning([torch.randn(3, 4, generator=torch.Generator().manual_seed(0))])
    for name in ("sigma_max", "sigma_min", "condition_number", "rank"):
        assert getattr(result, name).dtype == torch.float64
        assert getattr(result, name).shape == (1,)
    assert result.finite.dtype == torch.bool


def test_split() -> None:
    matrices = [torch.eye(2) * factor for factor in (1.0, 2.0, 3.0)]
    first, rest = conditioning(matrices).split([1, 2])
    assert first.sigma_max.tolist() == [1.0]
    assert rest.sigma_max.tolist() == [2.0, 3.0]
    assert rest.finite.tolist() == [True, True]


def test_cost_orders_what_differs_clearly() -> None:
    assert cost((64, 576)) == cost((576, 64))
    assert cost((3, 144)) < cost((16, 144)) < cost((64, 576)) < cost((128, 16384)) < cost((512, 4608))
    modes = [cost(tuple(unfold(torch.zeros(64, 64, 3, 3), mode).shape)) for mode in range(4)]
    assert modes[2] < modes[0]
    assert cost((64, 64, 3, 3)) == pytest.approx(sum(modes))
    assert cost((64, 32, 1, 1), 2) == cost((64, 32))  # both modes are one matrix


def test_a_mix_of_devices_in_small_blocks_gives_the_same() -> None:
    other = "cuda" if torch.cuda.is_available() else "cpu"
    matrices = [with_values(spread(16, 10.0**k, "geometric"), 16, 144, seed=k).float() for k in range(10)]
    matrices += [torch.full((16, 144), math.nan), torch.zeros(16, 144), torch.ones(300, 2000)]
    host = conditioning(matrices)
    mixed = [matrix.to(other) if index % 2 else matrix for index, matrix in enumerate(matrices)]
    device = conditioning(mixed, block=10**5)
    torch.testing.assert_close(device.condition_number, host.condition_number, rtol=1e-6, atol=0, equal_nan=True)
    torch.testing.assert_close(device.rank, host.rank, rtol=0, atol=0, equal_nan=True)
