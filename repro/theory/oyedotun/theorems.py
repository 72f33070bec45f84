"""What is left of a deep linear network's output: Oyedotun's Theorems 1 to 3 and Lemma 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from repro.figures.panels import Panel, Trace
from repro.theory.oyedotun.diagonalizable import (
    DEPTH,
    alternating,
    constant,
    disagreement,
    distance_to_dominant,
    log10_condition,
    multiply,
    resnet,
    resnext,
    shares,
    vanishing_dominance,
)
from repro.theory.result import Case, Result
from repro.theory.statement import STATEMENTS, Condition


def _trace(label: str, values: Float[np.ndarray, " layers"]) -> Trace:
    return Trace(label=label, x=np.arange(1, len(values) + 1, dtype=float), y=values)


def _panel(title: str, y: str, curves: dict[str, Float[np.ndarray, " layers"]]) -> Panel:
    traces = [_trace(name, values) for name, values in curves.items()]
    return Panel(title=title, x="depth (layers)", y=y, traces=traces)


def _settings_1(
    generator: np.random.Generator,
) -> dict[str, tuple[str, Float[np.ndarray, "layers n"], Float[np.ndarray, " n"], list[Condition]]]:
    """Settings of Theorem 1: a short name, eigenvalues, α, and what they drop."""
    needs = STATEMENTS["oyedotun-theorem-1"].conditions
    n = 8
    ratios = constant(1.0, *generator.uniform(-0.9, 0.9, n - 1)) * generator.uniform(0.5, 2.0, (DEPTH, 1))
    near, turns = vanishing_dominance(), alternating()
    return {
        f"{n} eigenvalues, |λᵢ/λ₁| ≤ 0.9 in all layers, α₁ ≠ 0": ("ratios to 0", ratios, np.ones(n), []),
        "λ₁ dominates by ratios 1 − 2^−(l+1)": ("ratios 1 − 2^−(l+1)", near, np.ones(2), [needs["product"]]),
        "the input has no part along v₁": ("α₁ = 0", ratios, np.r_[0.0, np.ones(n - 1)], [needs["alpha"]]),
        "diag(2, 1) and diag(1, 2) in turn: an eigenvalue dominates every layer, but not one vector's": (
            "diag(2, 1), diag(1, 2)",
            turns,
            np.ones(2),
            [needs["dominance"]],
        ),
    }


def theorem_1(seed: int) -> Result:
    """Whether only v₁ is left of a deep linear PlainNet's output, with and without the conditions that it needs."""
    generator = np.random.default_rng(seed)
    cases, sines, kappas = [], {}, {}
    for setting, (name, eigenvalues, alpha, drops) in _settings_1(generator).items():
        sines[name] = distance_to_dominant(eigenvalues, alpha)
        if name != "α₁ = 0":
            kappas[name] = 10.0 ** np.minimum(log10_condition(eigenvalues), 300)
        coefficients, _ = multiply(eigenvalues[:, None], alpha, generator, skip=False)
        sine, off = float(np.linalg.norm(coefficients[-1, 1:])), disagreement(coefficients, eigenvalues, alpha)
        cases.append(
            Case(
                setting=setting,
                drops=drops,
                holds=bool(max(sine, sines[name][-1]) < 1e-3),
                found=f"at depth {DEPTH} the sine of the angle to v₁ is {sines[name][-1]:.2g} by Eq. 12 and {sine:.2g} "
                f"by multiplying matrices (all coefficients agree to {off:.0e})",
            )
        )
    return Result(
        computed=f"Coefficients of h(x) in the common basis over {DEPTH} layers, from products of eigenvalues (Eq. 12) "
        "and by multiplying matrices with a random orthonormal basis.",
        cases=cases,
        remark="That λ₁ dominates every layer does not make the product of ratios go to 0, which the proof takes for "
        "given, “as expected for eigenvalues”.",
        numbers={
            "distance": {name: float(values[-1]) for name, values in sines.items()},
            "product_of_ratios": float(np.prod(vanishing_dominance()[:, 1])),
            "kappa": {name: float(values[-1]) for name, values in kappas.items()},
        },
        figures=[
            [
                _panel("Distance from the dominant eigenvector", "sine of the angle to v₁", sines),
                _panel("Conditioning of the product", "κ", kappas),
            ]
        ],
        caption="Left: 0 would mean that only v₁ is left. Right: κ of the product of all layers so far.",
    )


def lemma_1(seed: int) -> Result:
    """Eigenvectors of random matrices, real and complex ones, under a shift."""
    generator = np.random.default_rng(seed)
    worst = 0.0
    for w, c in zip(generator.normal(size=(200, 8, 8)), generator.normal(size=200), strict=True):
        values, vectors = np.linalg.eig(w)
        worst = max(worst, float(np.abs((w + c * np.eye(8)) @ vectors - vectors * (values + c)).max()))
    case = Case(
        setting="all eigenvectors of 200 random 8 × 8 matrices, random c",
        holds=worst < 1e-12,
        found=f"both sides differ by {worst:.0e} at most",
    )
    return Result(computed="(W + cI)v beside (λ + c)v, in float64.", cases=[case], numbers={"difference": worst})


def equation_16(
    summed: Float[np.ndarray, "layers n"], alpha: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Coefficients of h at the last depth, exact (Eq. 18, 45) and as Eq. 16 (22) has them, over the exact one's norm.

    Eq. 16 keeps αᵢ for every vᵢ, and gives v₁ all of Π(1 + λ₁): the terms Σλ₁ + ⋯ + Πλ₁ of Axiom 1 added to 1.
    """
    factors = 1 + summed
    logs, signs = np.log(np.abs(factors)).sum(0), np.sign(factors).prod(0)
    exact = alpha * signs * np.exp(logs - logs.max())
    approximate = alpha * np.exp(-logs.max())
    approximate[0] = exact[0]
    norm = np.linalg.norm(exact)
    return exact / norm, approximate / norm


def _case(
    setting: str,
    eigenvalues: Float[np.ndarray, "layers paths n"],
    generator: np.random.Generator,
    *drops: Condition,
    first: float = 1.0,
) -> Case:
    """How far Eq. 16 (22) is from h in the norm, in closed form and by multiplying matrices; α = (`first`, 1, …, 1)."""
    alpha = np.ones(eigenvalues.shape[2])
    alpha[0] = first
    exact, approximate = equation_16(eigenvalues.sum(1), alpha)
    closed = float(np.linalg.norm(exact - approximate))
    multiplied = float(np.linalg.norm(multiply(eigenvalues, alpha, generator, skip=True)[0][-1] - approximate))
    return Case(
        setting=setting,
        drops=drops,
        holds=max(closed, multiplied) < 0.01,
        found=f"‖h − approximation‖ is {closed:.1g} of ‖h‖, by multiplying matrices {multiplied:.1g}",
    )


def _of_coefficients(
    setting: str, eigenvalues: Float[np.ndarray, "layers paths n"], generator: np.random.Generator
) -> tuple[Case, dict[str, float]]:
    """Whether every coefficient, and with them κ, is the approximation's."""
    block, n = resnext(eigenvalues), eigenvalues.shape[2]
    exact, approximate = equation_16(eigenvalues.sum(1), np.ones(n))
    ratio = float(np.abs(exact / approximate).max())
    whole = multiply(eigenvalues, np.ones(n), generator, skip=True)[1]
    kappas = {
        "exact": float(log10_condition(block)[-1]),
        "multiplied": float(np.log10(np.linalg.cond(whole))),
        "approximation": float(np.ptp(np.log10(np.abs(approximate)))),
    }
    finding = (
        f"a coefficient is up to {ratio:.3g} times the approximation's; κ is 10^{kappas['exact']:.1f} (by multiplying "
        f"matrices 10^{kappas['multiplied']:.1f}), by the approximation 10^{kappas['approximation']:.1f}"
    )
    instead = "every coefficient, as Remarks 2 and 3 need them, in place of the whole"
    return Case(setting=setting, instead=instead, holds=ratio < 1.05, found=finding), kappas


def theorem_2(seed: int) -> Result:
    """Eq. 16 beside a deep linear ResNet's output: as a whole, and every coefficient."""
    needs = STATEMENTS["oyedotun-theorem-2"].conditions
    generator = np.random.default_rng(seed)
    mixed = np.concatenate([constant(0.5), generator.uniform(-0.4, 0.4, (DEPTH, 7))], 1)
    small = np.concatenate([constant(0.05), generator.uniform(-1e-4, 1e-4, (DEPTH, 7))], 1)
    large = constant(1.0, 0.5)
    apart, kappas = _of_coefficients("λ = (1, 0.5) in every layer", large[:, None], generator)
    ends, product = 1 + 0.5 * DEPTH + 0.5**DEPTH, 1.5**DEPTH
    cases = [
        _case("λ₁ = 0.5, seven others up to 0.4", mixed[:, None], generator),
        _case("λ = (1, 0.5) in every layer", large[:, None], generator),
        _case("a negative λ₁: λ = (−0.5, 0.4)", constant(-0.5, 0.4)[:, None], generator, needs["shifted"]),
        _case("the input has no part along v₁", mixed[:, None], generator, needs["alpha"], first=0.0),
        apart,
        _of_coefficients("λ₁ = 0.05, |λᵢ| ≤ 1e-4 for i ≥ 2, so that L·|λᵢ| ≤ 0.01", small[:, None], generator)[0],
        Case(
            setting="Axiom 1: the terms between the first and the last of Π(1 + λ), for λ = 0.5",
            instead="whether they are small: the paper calls them inconsequential for stating the theorem, which has "
            "them as dots",
            holds=abs(ends / product - 1) < 0.05,
            found=f"the whole is {product:.0e}; first, linear and last term give {ends:.0f}",
        ),
    ]
    curves = {name: 10 ** log10_condition(values) for name, values in (("PlainNet", large), ("ResNet", resnet(large)))}
    curves["ResNet by Eq. 16"] = 10 ** np.log10(np.abs(1 + large[:, 0])).cumsum()
    left = {"PlainNet": shares(large, np.ones(2))[:, 1], "ResNet": shares(resnet(large), np.ones(2))[:, 1]}
    return Result(
        computed=f"The exact product of {DEPTH} blocks I + W in the common basis, in closed form and by multiplying "
        "matrices, beside the approximation of Eq. 16.",
        cases=cases,
        remark="Every coefficient is Eq. 16's only where L·|λᵢ| ≪ 1. With positive eigenvalues skip connections slow "
        "the collapse, from (λ₂/λ₁)^L to ((1 + λ₂)/(1 + λ₁))^L; they do not prevent it.",
        numbers={"log10_kappa": {**kappas, "plainnet": float(log10_condition(large)[-1])}},
        figures=[
            [
                _panel("Conditioning, λ = (1, 0.5)", "κ", curves),
                _panel("What is left of v₂", "v₂'s share of ‖h‖²", left),
            ]
        ],
        caption="κ of the exact products, and what Eq. 16 makes of ResNet's: PlainNet's own κ, which hides that line.",
    )


def theorem_3(seed: int) -> Result:
    """Theorem 2's experiment for sums over paths."""
    needs = STATEMENTS["oyedotun-theorem-3"].conditions
    generator = np.random.default_rng(seed)
    paths = 4

    def path(*values: Sequence[float]) -> Float[np.ndarray, "layers paths n"]:
        return np.tile(np.array(values, dtype=float), (DEPTH, 1, 1))

    halves, opposed = path([0.5, 0.25], [0.5, 0.25]), path([1.0, 0.9], [-1.0, 0.9])
    apart, kappas = _of_coefficients("two paths of λ = (0.5, 0.25): p = (1, 0.5)", halves, generator)
    fractions = shares(resnext(opposed), np.ones(2))
    negative = path([-0.25, 0.2], [-0.25, 0.2])
    cases = [
        _case("two paths of λ = (0.5, 0.25): p = (1, 0.5)", halves, generator),
        _case(
            f"{paths} paths, λ₁ = 0.15 in each, seven others up to 0.1",
            np.concatenate([np.full((DEPTH, paths, 1), 0.15), generator.uniform(-0.1, 0.1, (DEPTH, paths, 7))], 2),
            generator,
        ),
        _case("two paths of λ = (−0.25, 0.2): p = (−0.5, 0.4)", negative, generator, needs["shifted"]),
        _case("the input has no part along v₁", halves, generator, needs["alpha"], first=0.0),
        _case(
            "two paths, λ₁ = (1, −1) and λ₂ = (0.9, 0.9): |λ₁| > |λ₂| in each, p = (0, 1.8)",
            opposed,
            generator,
            needs["sums"],
        ),
        apart,
    ]
    return Result(
        computed=f"The exact product of {DEPTH} blocks I + Σ Wᵏ in the common basis, in closed form and by multiplying "
        "matrices, beside Eq. 22.",
        cases=cases,
        remark="Eq. 22 asks for dominance of λ₁, the proof (A3) for dominance of the sums p₁, which is what counts.",
        numbers={"log10_kappa": kappas, "share_of_v1_with_opposed_paths": float(fractions[-1, 0])},
        figures=[
            _families(paths),
            [_panel("Paths that cancel", "share of ‖h‖²", {"v₁": fractions[:, 0], "v₂": fractions[:, 1]})],
        ],
        caption="Above: the three families with λ = (1, 0.75, 0.5, 0.25) in every layer, ResNeXt with four paths of "
        "half of it each. Below: a vector that dominates every path disappears, its eigenvalues cancel in the sum.",
    )


def _families(paths: int) -> list[Panel]:
    """The three families with the same eigenvalues; ResNeXt's sum over the paths is twice ResNet's one path."""
    shared, even = constant(1.0, 0.75, 0.5, 0.25), np.ones(4)
    families = {
        "PlainNet": shared,
        "ResNet": resnet(shared),
        "ResNeXt": resnext(np.stack([shared / 2] * paths, 1)),
    }
    return [
        _panel(
            "Distance from v₁",
            "sine of the angle to v₁",
            {name: distance_to_dominant(values, even) for name, values in families.items()},
        ),
        _panel(
            "Share of v₂ (λ₂ = 0.75 λ₁)",
            "share of ‖h‖²",
            {name: shares(values, even)[:, 1] for name, values in families.items()},
        ),
        _panel("Conditioning", "κ", {name: 10 ** log10_condition(values) for name, values in families.items()}),
    ]
