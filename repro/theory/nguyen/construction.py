"""The construction in the proof of Nguyen's Lemma 3.2, in as many digits as it takes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import mpmath
import numpy as np
from jaxtyping import Float

from repro.figures.panels import Panel, Trace
from repro.theory.result import Case, Result

_DIGITS_LIMIT = 2000


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
    """Weights scaled by α, biases from β, a sigmoid in every layer (Eq. 5 to 9).

    Every neuron reads one neuron of the layer below, which carries the samples' order on: f ↦ σ(α f). Chosen neuron j
    lies in layer `layer_of[j]` and computes σ(β + α (f(x) − f(x_j))).

    Args:
        values: g(x_i) of the first layer, all different.
        layer_of: The layer of each chosen neuron, from 1; as many as values.
        beta: β, with σ(β) ≠ 0.

    Returns:
        In the precision of mpmath at the call.

    Raises:
        ArithmeticError: Two samples cannot be told apart in this precision.
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
    found = []
    with np.errstate(over="ignore"):
        for alpha in alphas:
            found.append(float(np.min(carried[:-1] - carried[1:])))
            carried = 1 / (1 + np.exp(-float(alpha) * carried))
    return found


def digits_for_next_layer(made: Construction, values: Sequence[float]) -> float:
    """log₁₀ of how many digits tell the samples apart after the last layer: about α · max |f| / log 10 of them."""
    carried = [mpmath.mpf(value) for value in values]
    for alpha in made.alphas[:-1]:
        carried = [sigmoid(alpha * value) for value in carried]
    exponent = made.alphas[-1] * max(abs(value) for value in carried) / mpmath.log(10)
    return float(mpmath.log10(exponent))


def proof_of_lemma_3_2(seed: int) -> Result:
    """The construction for N = 4 with the chosen neurons in one layer, and one in each layer."""
    generator = np.random.default_rng(seed)
    values: Float[np.ndarray, " four"] = np.sort(generator.uniform(-1, 1, 4))
    count = len(values)
    depths = (1, 2, 4, 8, 16, 32)
    last_layer: dict[int, tuple[float, float, float]] = {}
    ratios = []
    with mpmath.workdps(200):
        for depth in depths:
            made = construct(values.tolist(), [depth] * count)
            ratios.append(float(made.determinant / made.bound))
            digits = float(mpmath.log10(made.alphas[-1]))
            last_layer[depth] = (digits, float(made.gaps[-1]), float64_gaps(values.tolist(), made.alphas)[-1])
    with mpmath.workdps(_DIGITS_LIMIT):
        spread = construct(values.tolist(), [1, 1, 2, 2])
        spread_ratio = float(spread.determinant / spread.bound)
        gap_second = spread.gaps[1]
        in_float64 = float64_gaps(values.tolist(), [*spread.alphas, mpmath.mpf(1)])
        digits_second = float(-mpmath.log10(gap_second))
        digits_third = digits_for_next_layer(spread, values.tolist())
        beta_cases = {
            beta: float((made := construct(values.tolist(), [2] * count, beta=beta)).determinant / made.bound)
            for beta in (-2.0, 0.0, 2.0)
        }
    lost = [depth for depth in depths if last_layer[depth][2] <= 0]
    cases = [
        Case(
            setting=f"N = {count} sigmoid neurons in the last of 1 to {depths[-1]} layers",
            conditions="complete",
            holds=min(ratios) >= 1,
            found=f"det Ψ is {min(ratios):.4f} to {max(ratios):.4f} times the bound ½ Π σ(β); α grows to "
            f"10^{last_layer[depths[-1]][0]:.0f}",
        ),
        Case(
            setting="two of them in the first layer and two in the second, with 2,000 digits",
            conditions="complete",
            holds=spread_ratio >= 1,
            found=f"det Ψ is {spread_ratio:.4f} times the bound; the second layer reads values that differ by "
            f"10^−{digits_second:.0f}",
        ),
        Case(
            setting="the same for β = −2, 0 and 2",
            conditions="complete",
            holds=min(beta_cases.values()) >= 1,
            found=", ".join(f"{value:.3f} (β = {beta:g})" for beta, value in beta_cases.items()) + " times the bound",
        ),
        Case(
            setting="the same computed in float64: two samples differ in what a third layer reads",
            conditions="beside",
            holds=in_float64[2] > 0,
            found=f"their difference is {in_float64[1]:.0e} in the second layer and {in_float64[2]:g} in the third; "
            "with all neurons in the last layer float64 lasts "
            f"{'up to ' + str(max(d for d in depths if d not in lost)) if lost else 'all'} layers",
        ),
        Case(
            setting="neurons in three layers, by multiple precision",
            conditions="beside",
            holds=digits_third < math.log10(_DIGITS_LIMIT),
            found=f"the third layer reads values that agree in about 10^{digits_third:.0f} digits, and a fourth would "
            "read values that agree in 10 to that power",
        ),
    ]
    places = np.array(depths, dtype=float)
    exact = np.array([last_layer[depth][1] for depth in depths])
    rounded = np.array([last_layer[depth][2] for depth in depths])
    kept = rounded > 0
    return Result(
        computed=f"The weights of Eq. 9 for N = {count} samples, sigmoid, one carrying neuron a layer, by mpmath.",
        cases=cases,
        remark="The construction is an existence proof: a determinant that is nowhere zero for one U makes it non-zero "
        "for almost all. Where neurons of several layers are chosen, α grows doubly exponentially with the layers.",
        numbers={
            "determinant_over_bound": dict(zip(map(str, depths), ratios, strict=True)),
            "spread_over_two_layers": spread_ratio,
            "digits_second_layer": digits_second,
            "log10_digits_third_layer": digits_third,
        },
        figures=[
            [
                Panel(
                    title="All chosen neurons in the last layer",
                    x="layers",
                    y="smallest difference between samples",
                    x_scale="log",
                    traces=[
                        Trace(label="200 digits", x=places, y=exact),
                        Trace(label="float64", x=places[kept], y=rounded[kept], kind="points"),
                    ],
                )
            ]
        ],
        caption="What the last layer reads. Where a mark is missing, float64 has made two samples equal.",
    )
