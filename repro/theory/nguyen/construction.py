"""The construction in the proof of Nguyen's Lemma 3.2, in as many digits as it takes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mpmath
import numpy as np

from repro.figures.panels import Panel, Trace
from repro.theory.result import Case, Result

_DIGITS_LIMIT = 2000
_DEPTHS = (1, 2, 4, 8, 16, 32)


def sigmoid(t: mpmath.mpf) -> mpmath.mpf:
    """1 / (1 + e^−t)."""
    return 1 / (1 + mpmath.exp(-t))


def inverse_sigmoid(y: mpmath.mpf) -> mpmath.mpf:
    """log(y / (1 − y))."""
    return mpmath.log(y / (1 - y))


@dataclass(frozen=True)
class Construction:
    """What the proof makes of N values of the first layer's pre-activation."""

    psi: mpmath.matrix
    """Ψ, samples × neurons, samples in descending order of their values."""
    alphas: Sequence[mpmath.mpf]
    """α of each layer (Eq. 9)."""
    gaps: Sequence[mpmath.mpf]
    """The smallest difference between two samples in what each layer reads."""
    bound: mpmath.mpf
    """Half of Π σ(β), which det Ψ is to exceed (Eq. 12)."""

    @property
    def determinant(self) -> mpmath.mpf:
        """Det Ψ."""
        return mpmath.det(self.psi)


def epsilon(samples: int, beta: mpmath.mpf) -> mpmath.mpf:
    """Π σ(β) / (2 N! C^(N−1)) with C = 1, sigmoid's bound."""
    return sigmoid(beta) ** samples / (2 * mpmath.factorial(samples))


def construct(values: Sequence[float], layer_of: Sequence[int], *, beta: float = 0.0) -> Construction:
    """Weights scaled by α, biases from β (with σ(β) ≠ 0), a sigmoid in every layer (Eq. 5 to 9).

    Every neuron reads one neuron of the layer below, which carries the samples' order on: f ↦ σ(α f). Chosen neuron j
    lies in layer `layer_of[j]`, from 1, and computes σ(β + α (f(x) − f(x_j))). The values are g(x_i) of the first
    layer, all different. All is in the precision of mpmath at the call; `ArithmeticError` where two samples cannot be
    told apart.
    """
    carried = sorted((mpmath.mpf(value) for value in values), reverse=True)
    count = len(carried)
    beta_ = mpmath.mpf(beta)
    reach = inverse_sigmoid(epsilon(count, beta_)) - beta_
    psi = mpmath.matrix(count, count)
    alphas, gaps = [], []
    for layer in range(1, max(layer_of) + 1):
        gap = min(above - below for above, below in itertools.pairwise(carried))
        if gap <= 0:
            raise ArithmeticError(f"layer {layer} reads equal values of two samples at {mpmath.mp.dps} digits")
        gaps.append(gap)
        mine = [j for j, its in enumerate(layer_of) if its == layer]
        needed = [reach / (carried[i] - carried[j]) for j in mine for i in range(j + 1, count)]
        alpha = max([mpmath.mpf(1), *needed])
        alphas.append(alpha)
        for j in mine:
            for i in range(count):
                psi[i, j] = sigmoid(beta_ + alpha * (carried[i] - carried[j]))
        carried = [sigmoid(alpha * value) for value in carried]
    return Construction(psi, alphas, gaps, sigmoid(beta_) ** count / 2)


def float64_gaps(values: Sequence[float], alphas: Sequence[mpmath.mpf]) -> list[float]:
    """The smallest difference that each layer reads, if the same is computed in float64."""
    carried = np.sort(np.array(values))[::-1]
    gaps = []
    with np.errstate(over="ignore"):
        for alpha in alphas:
            gaps.append(float(np.min(carried[:-1] - carried[1:])))
            carried = 1 / (1 + np.exp(-float(alpha) * carried))
    return gaps


def digits_for_next_layer(made: Construction, values: Sequence[float]) -> float:
    """log₁₀ of how many digits tell the samples apart after the last layer: about α · max |f| / log 10 of them."""
    carried = [mpmath.mpf(value) for value in values]
    for alpha in made.alphas[:-1]:
        carried = [sigmoid(alpha * value) for value in carried]
    exponent = made.alphas[-1] * max(abs(value) for value in carried) / mpmath.log(10)
    return float(mpmath.log10(exponent))


def softplus(t: mpmath.mpf) -> mpmath.mpf:
    """(1/γ) log(1 + e^γt), with the paper's γ = 20."""
    return mpmath.log1p(mpmath.exp(20 * t)) / 20


def softplus_determinant(values: Sequence[float], layer_of: Sequence[int], alpha: float) -> float:
    """Det Ψ over Π σ(β), β = 0, in the proof's second half: α for all chosen neurons, 1 on their paths (Eq. 13).

    As `construct`, but a neuron's path has none that is chosen.
    """
    carried = sorted((mpmath.mpf(value) for value in values), reverse=True)
    count = len(carried)
    psi = mpmath.matrix(count, count)
    for layer in range(1, max(layer_of) + 1):
        for j in (j for j, its in enumerate(layer_of) if its == layer):
            for i in range(count):
                psi[i, j] = softplus(alpha * (carried[i] - carried[j]))
        carried = [softplus(value) for value in carried]
    return float(mpmath.det(psi) / softplus(mpmath.mpf(0)) ** count)


@dataclass(frozen=True)
class _Depths:
    """The construction with all chosen neurons in the last of so many layers, by depth."""

    ratios: Mapping[int, float]
    """Det Ψ over its bound."""
    digits: Mapping[int, float]
    """log₁₀ of the last layer's α."""
    exact: Mapping[int, float]
    """The smallest difference between samples that the last layer reads."""
    rounded: Mapping[int, float]
    """That difference in float64."""


def _by_depth(values: Sequence[float]) -> _Depths:
    with mpmath.workdps(200):
        made = {depth: construct(values, [depth] * len(values)) for depth in _DEPTHS}
        return _Depths(
            {depth: float(built.determinant / built.bound) for depth, built in made.items()},
            {depth: float(mpmath.log10(built.alphas[-1])) for depth, built in made.items()},
            {depth: float(built.gaps[-1]) for depth, built in made.items()},
            {depth: float64_gaps(values, built.alphas)[-1] for depth, built in made.items()},
        )


def _of_two_layers(values: Sequence[float]) -> list[Case]:
    """Two chosen neurons in each of two layers: with many digits, in float64, and what a third layer would need."""
    with mpmath.workdps(_DIGITS_LIMIT):
        spread = construct(values, [1, 1, 2, 2])
        ratio = float(spread.determinant / spread.bound)
        in_float64 = float64_gaps(values, [*spread.alphas, mpmath.mpf(1)])
        second = float(-mpmath.log10(spread.gaps[1]))
        third = digits_for_next_layer(spread, values)
    return [
        Case(
            setting="two of them in the first layer and two in the second, with 2,000 digits",
            holds=ratio >= 1,
            found=f"det Ψ is {ratio:.4f} times the bound; the second layer reads values that differ by "
            f"10^−{second:.0f}",
        ),
        Case(
            setting="the same computed in float64",
            instead="whether two samples differ in what a third layer reads",
            holds=in_float64[2] > 0,
            found=f"their difference is {in_float64[1]:.0e} in the second layer and {in_float64[2]:g} in the third",
        ),
        Case(
            setting="neurons in three layers",
            instead=f"whether {_DIGITS_LIMIT:,} digits are enough",
            holds=third < math.log10(_DIGITS_LIMIT),
            found=f"the third layer reads values that agree in about 10^{third:.0f} digits",
        ),
    ]


def _of_softplus(values: Sequence[float]) -> tuple[Case, dict[str, float]]:
    with mpmath.workdps(200):
        ratios = {f"{alpha:g}": softplus_determinant(values, [1, 2, 3, 4], alpha) for alpha in (1e2, 1e6, 1e10, 1e12)}
    ratios_in_words = ", ".join(f"{ratio:.4g} (α = {alpha})" for alpha, ratio in ratios.items())
    case = Case(
        setting="four softplus neurons, one in each of four layers, whose paths have no chosen neuron: det Ψ → Π σ(β)",
        holds=abs(ratios["1e+12"] - 1) < 1e-6,
        found=f"det Ψ / Π σ(β) is {ratios_in_words}",
    )
    return case, ratios


def proof_of_lemma_3_2(seed: int) -> Result:
    """The construction for N = 4: sigmoid neurons in one layer and in two, softplus neurons in four."""
    values = np.sort(np.random.default_rng(seed).uniform(-1, 1, 4)).tolist()
    depths = _by_depth(values)
    with mpmath.workdps(_DIGITS_LIMIT):
        by_beta = {
            beta: float((made := construct(values, [2] * 4, beta=beta)).determinant / made.bound)
            for beta in (-2.0, 0.0, 2.0)
        }
    softplus_case, softplus_ratios = _of_softplus(values)
    lasts = max((depth for depth in _DEPTHS if depths.rounded[depth] > 0), default=0)
    ratios = depths.ratios.values()
    cases = [
        Case(
            setting=f"N = 4 sigmoid neurons in the last of 1 to {_DEPTHS[-1]} layers",
            holds=min(ratios) >= 1,
            found=f"det Ψ is {min(ratios):.4f} to {max(ratios):.4f} times the bound ½ Π σ(β); α grows to "
            f"10^{depths.digits[_DEPTHS[-1]]:.0f}, and float64 tells the samples apart up to {lasts} layers",
        ),
        Case(
            setting="the same for β = −2, 0 and 2",
            holds=min(by_beta.values()) >= 1,
            found=", ".join(f"{value:.3f} (β = {beta:g})" for beta, value in by_beta.items()) + " times the bound",
        ),
        *_of_two_layers(values),
        softplus_case,
    ]
    return Result(
        computed="The weights of Eq. 9 and 13 for N = 4 samples, one carrying neuron a layer, by mpmath.",
        cases=cases,
        remark="The construction is an existence proof: a determinant that is not zero for one U makes it non-zero for "
        "almost all. Where sigmoid neurons of several layers are chosen, α grows doubly exponentially with the layers.",
        numbers={"determinant_over_bound": {str(d): r for d, r in depths.ratios.items()}, "softplus": softplus_ratios},
        figures=[[_panel(depths)]],
        caption="What the last layer reads. Where a mark is missing, float64 has made two samples equal.",
    )


def _panel(depths: _Depths) -> Panel:
    places = np.array(_DEPTHS, dtype=float)
    rounded = np.array(list(depths.rounded.values()))
    kept = rounded > 0
    return Panel(
        title="All chosen neurons in the last layer",
        x="layers",
        y="smallest difference between samples",
        x_scale="log",
        traces=[
            Trace(label="200 digits", x=places, y=np.array(list(depths.exact.values()))),
            Trace(label="float64", x=places[kept], y=rounded[kept], kind="points"),
        ],
    )
