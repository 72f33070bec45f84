"""Convolutions as maps, against the dense matrix of the map: the convolution applied to every image with one pixel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from repro.errors import UserError
from repro.spectra import Convolution, mode_conditioning, operator_conditionings, operator_singular_values, operators
from repro.spectra.conditioning import Conditioning

EPS = 1.2e-7


def dense(convolution: Convolution) -> Tensor:
    """The matrix of the circular convolution, columns by torch's own convolution of a periodically continued image."""
    weight, axes = convolution.weight.double(), len(convolution.image)
    stride, dilation = convolution.stride or (1,) * axes, convolution.dilation or (1,) * axes
    sides = [step * -(-size // step) for step, size in zip(stride, convolution.image, strict=True)]
    channels = weight.shape[1] * convolution.groups
    images = torch.eye(channels * math.prod(sides), dtype=torch.float64).view(-1, channels, *sides)
    for axis, (side, wide, size) in enumerate(zip(sides, dilation, weight.shape[2:], strict=True), start=2):
        images = images.index_select(axis, torch.arange(side + wide * (size - 1)) % side)
    convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[axes]
    return convolve(images, weight, stride=stride, dilation=dilation, groups=convolution.groups).flatten(1).T


def conditioning(convolution: Convolution) -> Conditioning:
    (found,) = operator_conditionings([convolution])
    return found


@st.composite
def settings_of_one(draw: st.DrawFn) -> dict[str, Any]:
    axes, groups = draw(st.sampled_from([1, 2, 2, 2, 3])), draw(st.integers(1, 3))
    kernel = [draw(st.integers(1, 4 if axes < 3 else 2)) for _ in range(axes)]
    shape = [groups * draw(st.integers(1, 3)), draw(st.integers(1, 3)), *kernel]
    sizes = [draw(st.integers(1, 6 if axes < 3 else 3)) for _ in range(axes)]
    return {
        "shape": shape,
        "image": tuple(sizes),
        "stride": tuple(draw(st.integers(1, 3)) for _ in range(axes)),
        "dilation": tuple(draw(st.integers(1, 3)) for _ in range(axes)),
        "groups": groups,
    }


@given(settings_of_one(), st.integers(0, 2**32))
@settings(max_examples=150)
def test_singular_values_are_the_dense_matrix_s(one: dict[str, Any], seed: int) -> None:
    weight = torch.randn(one.pop("shape"), generator=torch.Generator().manual_seed(seed))
    convolution = Convolution(weight=weight, **one)
    wanted = np.linalg.svd(dense(convolution).numpy(), compute_uv=False)
    found = operator_singular_values(convolution).numpy()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-13 * wanted[0] * len(wanted))
    of_it = conditioning(convolution)
    assert float(of_it.sigma_max) == pytest.approx(wanted[0], rel=1e-12)
    assert float(of_it.sigma_min) == pytest.approx(wanted[-1], rel=1e-7, abs=1e-12 * wanted[0])
    assert float(of_it.rank) == (wanted > EPS * wanted[0]).sum()
    if wanted[-1] > 2 * EPS * wanted[0]:
        assert float(of_it.condition_number) == pytest.approx(wanted[0] / wanted[-1], rel=1e-7)
    elif wanted[-1] < EPS / 2 * wanted[0]:
        assert math.isinf(of_it.condition_number)


def he(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return weight * (2 / math.prod(shape[1:])) ** 0.5


@pytest.mark.parametrize(("channels", "side"), [(16, 32), (24, 12), (64, 8)])
def test_what_is_looked_for_is_found(channels: int, side: int) -> None:
    """Only a few blocks go through the SVD; the extremes are those of all."""
    weights = [he((channels, channels, 3, 3), seed) for seed in range(3)]
    weights.append(weights[0] * 1e-30)  # squares that vanish in single precision
    together = operator_conditionings([Convolution(weight=weight, image=(side, side)) for weight in weights])
    for weight, found in zip(weights, together, strict=True):
        values = operator_singular_values(Convolution(weight=weight, image=(side, side)))
        assert float(found.sigma_max) == pytest.approx(float(values[0]), rel=1e-12)
        assert float(found.sigma_min) == pytest.approx(float(values[-1]), rel=1e-9)
        assert float(found.rank) == len(values) == channels * side**2


KERNELS: dict[str, Any] = {
    "drawn": lambda n, seed: he((n, n, 3, 3), seed),
    "near the identity": lambda n, seed: (
        torch.eye(n)[..., None, None] * (torch.arange(9) == 4).view(3, 3) + 0.1 * he((n, n, 3, 3), seed)
    ),
    "means": lambda n, seed: torch.full((n, n, 3, 3), 1.0) + 1e-3 * he((n, n, 3, 3), seed),
    "of rank 1": lambda n, seed: torch.einsum(
        "o,i,hw->oihw", he((n, 1), seed)[:, 0], he((n, 1), 9)[:, 0], he((3, 3), 7)
    ),
    "large and small channels": lambda n, seed: he((n, n, 3, 3), seed) * torch.logspace(0, -6, n).view(n, 1, 1, 1),
    "wide kernels": lambda n, seed: he((n, n, 5, 5), seed),
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(("channels", "side"), [(16, 32), (64, 8)])
def test_what_is_screened_in_single_precision_is_within_a_third_of_its_bound(
    name: str, channels: int, side: int
) -> None:
    some = [Convolution(weight=KERNELS[name](channels, seed), image=(side, side)) for seed in range(2)]
    taps, _, frequencies = operators._fold(some)
    low, high = operators._eigenvalues(taps, frequencies)
    every = torch.ones_like(low, dtype=torch.bool)
    exact = operators._values(taps, frequencies, every).unflatten(0, low.shape)[..., [-1, 0]] ** 2
    bound = (channels + 16) * 2.0**-24 * exact[..., 1].amax((0, 2))[:, None]
    assert ((low - exact[..., 0]).abs() <= bound / 3).all()
    assert ((high - exact[..., 1]).abs() <= bound / 3).all()


def test_eigenvalues_that_are_worse_than_their_bound_are_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    convolution = Convolution(weight=he((16, 16, 3, 3)), image=(8, 8))
    wanted = conditioning(convolution)
    believed = operators._eigenvalues
    monkeypatch.setattr(operators, "_eigenvalues", lambda *given: believed(*given) * 1.001)
    assert float(conditioning(convolution).condition_number) == float(wanted.condition_number)


def test_kernels_with_known_maps() -> None:
    identity = torch.zeros(5, 5, 3, 3)
    identity[range(5), range(5), 1, 1] = 1.0
    assert float(conditioning(Convolution(weight=identity, image=(7, 6))).condition_number) == pytest.approx(
        1, rel=1e-12
    )
    shifted = 3 * identity.roll((1, 1), (2, 3))  # a delta moves the image, and an orthogonal matrix mixes channels
    turned = torch.einsum("oi,ichw->ochw", torch.linalg.qr(torch.randn(5, 5)).Q, shifted)
    found = conditioning(Convolution(weight=turned, image=(7, 6)))
    assert float(found.sigma_max) == pytest.approx(3, rel=1e-6)
    assert float(found.condition_number) == pytest.approx(1, rel=1e-5)
    mean = Convolution(weight=torch.full((1, 1, 3, 3), 1 / 9), image=(6, 6))
    found = conditioning(mean)
    assert float(found.sigma_max) == pytest.approx(1, rel=1e-6)
    assert math.isinf(found.condition_number)  # cos(2π/3): one frequency in three is lost
    assert float(found.rank) == 16
    kernel = 1 / 3 * (1 + 2 * np.cos(2 * np.pi * np.arange(5) / 5))  # of a mean of three on five pixels, in each axis
    wanted = np.abs(np.outer(kernel, kernel))
    found = conditioning(Convolution(weight=mean.weight, image=(5, 5)))
    assert float(found.condition_number) == pytest.approx(1 / wanted.min(), rel=1e-6)


def test_a_matrix_and_a_kernel_of_one_position_are_the_weight_itself() -> None:
    weight = torch.randn(6, 9)
    wanted = mode_conditioning(weight)
    for convolution in (Convolution(weight=weight), Convolution(weight=weight[..., None, None], image=(11, 4))):
        found = conditioning(convolution)
        assert float(found.condition_number) == pytest.approx(float(wanted.condition_number[0]), rel=1e-12)
        assert float(found.rank) == 6 * math.prod(convolution.image)


def test_strides_that_pass_over_pixels_are_singular_where_pixels_outnumber_what_is_kept() -> None:
    found = conditioning(Convolution(weight=he((6, 4, 1, 1)), image=(4, 4), stride=(2, 2)))
    assert math.isinf(found.condition_number)
    assert float(found.rank) == 4 * 2 * 2  # of at most 6 · 2 · 2


def test_kernels_and_their_maps_disagree_in_both_directions() -> None:
    drawn = he((16, 16, 3, 3))
    near = 0.1 * drawn
    near[range(16), range(16), 1, 1] += 1.0
    of_kernel = [float(mode_conditioning(weight).condition_number.max()) for weight in (drawn, near)]
    of_map = [conditioning(Convolution(weight=weight, image=(32, 32))).condition_number for weight in (drawn, near)]
    assert of_kernel[0] < 3
    assert of_map[0] > 250  # of 50 draws: 272 to 26,700
    assert of_kernel[1] > 12
    assert of_map[1] < 1.6


def test_what_is_not_finite_zero_or_no_convolution() -> None:
    broken = he((4, 4, 3, 3))
    broken[0, 0, 0, 0] = torch.nan
    found = conditioning(Convolution(weight=broken, image=(8, 8)))
    assert not found.finite
    assert math.isnan(found.condition_number)
    assert operator_singular_values(Convolution(weight=broken, image=(8, 8))).isnan().all()
    zero = conditioning(Convolution(weight=torch.zeros(4, 4, 3, 3), image=(8, 8)))
    assert math.isinf(zero.condition_number)
    assert float(zero.rank) == 0
    with pytest.raises(UserError, match="a size for each axis"):
        Convolution(weight=broken, image=(8,))
