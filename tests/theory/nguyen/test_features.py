"""The rank of chosen features, and the proof's construction."""

from __future__ import annotations

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.spectra import conditioning
from repro.theory.nguyen import construction, features

SEEDS = st.integers(0, 2**31)


@settings(max_examples=25)
@given(SEEDS)
def test_a_shared_bias_leaves_rank_one(seed: int) -> None:
    shared = features.constant_images(shared_bias=True)(torch.Generator().manual_seed(seed))
    own = features.constant_images(shared_bias=False)(torch.Generator().manual_seed(seed))
    assert int(conditioning([shared]).rank[0]) == 1
    assert int(conditioning([features.scaled(own)]).rank[0]) == 2


@pytest.mark.parametrize("layers", [[1, 1, 1, 1], [3, 3, 3, 3], [1, 1, 2, 2], [2, 1, 2, 1]])
def test_the_construction_exceeds_the_bound(layers: list[int]) -> None:
    values = [0.9, 0.2, -0.3, -0.8]
    with mpmath.workdps(400):
        made = construction.construct(values, layers, beta=0.5)
        assert made.determinant >= made.bound
        limit = construction.epsilon(4, mpmath.mpf(0.5))
        assert all(made.psi[i, j] <= limit * (1 + mpmath.mpf(10) ** -50) for j in range(4) for i in range(j + 1, 4))
        assert all(made.psi[j, j] == construction.sigmoid(mpmath.mpf(0.5)) for j in range(4))


def test_float64_loses_what_the_construction_tells_apart() -> None:
    values = [0.9, 0.2, -0.3, -0.8]
    with mpmath.workdps(2000):
        made = construction.construct(values, [1, 1, 2, 2])
        gaps = construction.float64_gaps(values, [*made.alphas, mpmath.mpf(1)])
    assert gaps[0] == pytest.approx(0.5)
    assert gaps[-1] == 0
    with mpmath.workdps(15), pytest.raises(ArithmeticError, match="layer 3"):
        construction.construct(values, [2, 2, 1, 3])


@pytest.mark.parametrize("layers", [[1, 1, 1, 1], [1, 2, 3, 4], [2, 2, 1, 3]])
def test_softplus_determinants_go_to_the_proofs_limit(layers: list[int]) -> None:
    with mpmath.workdps(200):
        ratios = [construction.softplus_determinant([0.9, 0.2, -0.3, -0.8], layers, alpha) for alpha in (1e2, 1e12)]
    assert ratios[1] == pytest.approx(1, rel=1e-9)
    assert mpmath.mpf("1") / 20 * mpmath.log(2) == pytest.approx(construction.softplus(mpmath.mpf(0)))
