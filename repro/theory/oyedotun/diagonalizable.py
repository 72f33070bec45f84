"""Jointly diagonalizable layers: which basis vectors survive depth, in closed form (Oyedotun, Theorems 1 to 3).

With one orthonormal basis for all layers, a product of layers is the product of their eigenvalues, one basis vector at
a time (Eq. 12). Everything is computed from logarithms of eigenvalues, so that no depth overflows.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from repro.figures.panels import Panel, Trace
from repro.theory.result import Case, Result

Eigenvalues = Float[np.ndarray, "layers n"]
_DEPTH = 100


def resnet(eigenvalues: Eigenvalues) -> Eigenvalues:
    """Eigenvalues of W + I, layer by layer (Lemma 1; Eq. 17)."""
    found: Eigenvalues = 1 + eigenvalues
    return found


def resnext(eigenvalues: Float[np.ndarray, "layers paths n"]) -> Eigenvalues:
    """Eigenvalues of Σ_k W^k + I, layer by layer (Eq. 45)."""
    found: Eigenvalues = 1 + eigenvalues.sum(1)
    return found


def log_coefficients(eigenvalues: Eigenvalues, alpha: Float[np.ndarray, " n"]) -> Float[np.ndarray, "layers n"]:
    """Log |coefficient of v_i in h^l| for every depth l (Eq. 12); −inf where it is zero."""
    with np.errstate(divide="ignore"):
        found: Float[np.ndarray, "layers n"] = np.log(np.abs(alpha)) + np.cumsum(np.log(np.abs(eigenvalues)), 0)
    return found


def shares(eigenvalues: Eigenvalues, alpha: Float[np.ndarray, " n"]) -> Float[np.ndarray, "layers n"]:
    """Each basis vector's share of ‖h^l‖², for every depth."""
    logs = 2 * log_coefficients(eigenvalues, alpha)
    largest = logs.max(1, keepdims=True)
    squares = np.exp(logs - np.where(np.isfinite(largest), largest, 0))
    total = squares.sum(1, keepdims=True)
    found: Float[np.ndarray, "layers n"] = squares / np.where(total > 0, total, np.nan)
    return found


def distance_to_dominant(eigenvalues: Eigenvalues, alpha: Float[np.ndarray, " n"]) -> Float[np.ndarray, " layers"]:
    """Sine of the angle between h^l and v₁: 0 where only v₁ is left (Eq. 9), 1 where nothing of it is."""
    found: Float[np.ndarray, " layers"] = np.sqrt(shares(eigenvalues, alpha)[:, 1:].sum(1))
    return found


def log10_condition(eigenvalues: Eigenvalues) -> Float[np.ndarray, " layers"]:
    """log₁₀ κ of the product of the first l layers (Eq. 8), +inf where an eigenvalue is zero."""
    logs = log_coefficients(eigenvalues, np.ones(eigenvalues.shape[1])) / np.log(10)
    found: Float[np.ndarray, " layers"] = logs.max(1) - logs.min(1)
    return found


def approximation_16(eigenvalues: Eigenvalues) -> Float[np.ndarray, " n"]:
    """log₁₀ of the coefficients that Eq. 16 (and 22) leaves of the ResNet with α = 1 at the last depth.

    Every v_i keeps α_i, and v₁ gets all of Π(1 + λ₁): the terms Σλ₁ + … + Πλ₁ of Axiom 1 added to 1.
    """
    logs = np.zeros(eigenvalues.shape[1])
    logs[0] = np.log10(np.abs(1 + eigenvalues[:, 0])).sum()
    return logs


def constant(*values: float, depth: int = _DEPTH) -> Eigenvalues:
    """The same eigenvalues in every layer."""
    return np.tile(np.array(values, dtype=float), (depth, 1))


def alternating(depth: int = _DEPTH) -> Eigenvalues:
    """diag(2, 1) and diag(1, 2) in turn: each layer has a dominant eigenvalue, the product none."""
    return np.where(np.arange(depth)[:, None] % 2 == np.arange(2), 2.0, 1.0)


def vanishing_dominance(depth: int = _DEPTH) -> Eigenvalues:
    """λ₁ = 1 and λ₂ = 1 − 2^−(l+1): dominated in every layer, by a product of ratios that stays above 0.577."""
    second = 1 - 0.5 ** (np.arange(1, depth + 1) + 1.0)
    return np.stack([np.ones(depth), second], 1)


def _depths(values: Float[np.ndarray, " layers"]) -> Float[np.ndarray, " layers"]:
    return np.arange(1, len(values) + 1, dtype=float)


def _trace(label: str, values: Float[np.ndarray, " layers"]) -> Trace:
    return Trace(label=label, x=_depths(values), y=values)


def theorem_1(seed: int) -> Result:
    """Whether only v₁ is left of a deep linear PlainNet's output, with and without the condition that it needs."""
    generator = np.random.default_rng(seed)
    n = 8
    ratios = constant(1.0, *generator.uniform(-0.9, 0.9, n - 1)) * generator.uniform(0.5, 2.0, (_DEPTH, 1))
    settings = {
        "product of ratios vanishes": (ratios, np.ones(n)),
        "diag(2, 1), diag(1, 2) in turn": (alternating(), np.ones(2)),
        "ratios 1 − 2^−(l+1)": (vanishing_dominance(), np.ones(2)),
        "α₁ = 0": (ratios, np.r_[0.0, np.ones(n - 1)]),
    }
    distances = {name: distance_to_dominant(*setting) for name, setting in settings.items()}
    kappas = {name: 10.0 ** np.minimum(log10_condition(setting[0]), 300) for name, setting in settings.items()}
    product = float(np.prod(vanishing_dominance()[:, 1]))
    last = {name: float(values[-1]) for name, values in distances.items()}
    cases = [
        Case(
            setting=f"{n} eigenvalues, |λᵢ/λ₁| ≤ 0.9 in all layers, α₁ ≠ 0",
            conditions="complete",
            holds=last["product of ratios vanishes"] < 1e-3,
            found=f"at depth {_DEPTH} the sine of the angle to v₁ is {last['product of ratios vanishes']:.1e}",
        ),
        Case(
            setting="every layer has a dominant eigenvalue, but not for the same eigenvector: diag(2, 1), diag(1, 2)",
            conditions="as stated",
            holds=last["diag(2, 1), diag(1, 2) in turn"] < 1e-3,
            found=f"sine {last['diag(2, 1), diag(1, 2) in turn']:.3f}, "
            f"κ = {kappas['diag(2, 1), diag(1, 2) in turn'][-1]:.0f}",
        ),
        Case(
            setting="λ₁ dominates every layer, by ratios 1 − 2^−(l+1)",
            conditions="as stated",
            holds=last["ratios 1 − 2^−(l+1)"] < 1e-3,
            found=f"the product of ratios is {product:.4f} and the sine {last['ratios 1 − 2^−(l+1)']:.3f}",
        ),
        Case(
            setting="the input has no part along v₁",
            conditions="as stated",
            holds=last["α₁ = 0"] < 1e-3,
            found=f"sine {last['α₁ = 0']:.3f} at every depth",
        ),
    ]
    return Result(
        computed=f"Coefficients of h(x) in the common basis for {_DEPTH} layers, from the products of eigenvalues "
        "(Eq. 12), where dominance adds up and where it does not.",
        cases=cases,
        under="α₁ ≠ 0 and a product of ratios λᵢ/λ₁ that goes to 0, beyond dominance in every layer",
        numbers={"distance": last, "product_of_ratios": product, "kappa": {k: float(v[-1]) for k, v in kappas.items()}},
        figures=[
            [
                Panel(
                    title="Distance from the dominant eigenvector",
                    x="depth (layers)",
                    y="sine of the angle to v₁",
                    traces=[_trace(name, values) for name, values in distances.items()],
                ),
                Panel(
                    title="Conditioning of the product",
                    x="depth (layers)",
                    y="κ",
                    traces=[_trace(name, kappas[name]) for name in settings if name != "α₁ = 0"],
                ),
            ]
        ],
        caption="Left: 0 would mean that only v₁ is left. Right: κ of the product of all layers so far.",
    )


def theorem_2(seed: int) -> Result:
    """What Eq. 16 leaves of a deep linear ResNet's output, beside the exact product."""
    generator = np.random.default_rng(seed)
    small = np.concatenate([constant(0.5), generator.uniform(-1e-4, 1e-4, (_DEPTH, 7))], 1)
    large, singular = constant(1.0, 0.5), constant(0.5, -1.0)
    exact_small = log_coefficients(resnet(small), np.ones(8))[-1] / np.log(10)
    error_small = float(np.abs(10 ** (exact_small - approximation_16(small)) - 1).max())
    exact_large = float(log10_condition(resnet(large))[-1])
    approximate = float(np.ptp(approximation_16(large)))
    plain = float(log10_condition(large)[-1])
    ends = 1 + 0.5 * _DEPTH + 0.5**_DEPTH
    whole = 1.5**_DEPTH
    share = shares(resnet(large), np.ones(2))[-1]
    cases = [
        Case(
            setting="|λᵢ| ≤ 1e-4 for i ≥ 2, so that L·|λᵢ| ≤ 0.01; λ₁ = 0.5",
            conditions="complete",
            holds=error_small < 0.05,
            found=f"every coefficient within {100 * error_small:.2f} % of Eq. 16's",
        ),
        Case(
            setting="λ = (1, 0.5) in every layer",
            conditions="as stated",
            holds=abs(exact_large - approximate) < 0.05,
            found=f"κ is 10^{exact_large:.1f}, by Eq. 16 10^{approximate:.1f}, which is PlainNet's 10^{plain:.1f}",
        ),
        Case(
            setting="Axiom 1: the middle terms of Π(1 + λ) are inconsequential, for λ = 0.5",
            conditions="as stated",
            holds=abs(ends / whole - 1) < 0.05,
            found=f"the whole is {whole:.0e}; first, linear and last term give {ends:.0f}",
        ),
        Case(
            setting="every vector contributes, λ = (1, 0.5)",
            conditions="as stated",
            holds=bool(share[1] > 1e-6),
            found=f"v₂'s share of ‖h‖² is {share[1]:.0e} at depth {_DEPTH}: slower than PlainNet's collapse, not none",
        ),
        Case(
            setting="H is non-singular (Remark 2): λ₂ = −1",
            conditions="as stated",
            holds=bool(np.isfinite(log10_condition(resnet(singular))[-1])),
            found="the first block maps v₂ to 0 and κ is infinite",
        ),
    ]
    families = {"PlainNet": large, "ResNet": resnet(large)}
    traces = [_trace(name, 10 ** log10_condition(values)) for name, values in families.items()]
    eq16 = _trace("ResNet by Eq. 16", 10 ** np.log10(np.abs(1 + large[:, 0])).cumsum())
    retained = [_trace(name, shares(values, np.ones(2))[:, 1]) for name, values in families.items()]
    return Result(
        computed=f"The exact product of {_DEPTH} blocks I + W in the common basis, beside the approximation of Eq. 16.",
        cases=cases,
        under="L·|λᵢ| ≪ 1 for every i ≥ 2 and no eigenvalue at −1",
        remark="Skip connections slow the collapse, from (λ₂/λ₁)^L to ((1 + λ₂)/(1 + λ₁))^L; they do not prevent it.",
        numbers={
            "log10_kappa": {"plainnet": plain, "resnet": exact_large, "equation_16": approximate},
            "axiom_1": {"whole": whole, "without_middle_terms": ends},
            "error_of_equation_16_for_small_eigenvalues": error_small,
        },
        figures=[
            [
                Panel(title="Conditioning, λ = (1, 0.5)", x="depth (layers)", y="κ", traces=[*traces, eq16]),
                Panel(title="What is left of v₂", x="depth (layers)", y="v₂'s share of ‖h‖²", traces=retained),
            ]
        ],
        caption="κ of the exact products, and what Eq. 16 makes of ResNet's: PlainNet's own κ, which hides that line.",
    )


def theorem_3(seed: int) -> Result:
    """Theorem 2's experiment for sums over paths."""
    generator = np.random.default_rng(seed)
    paths = 4
    good = np.concatenate(
        [np.full((_DEPTH, paths, 1), 0.15), generator.uniform(-5e-5, 5e-5, (_DEPTH, paths, 7))], 2
    )  # in every path and in their sum the first eigenvalue dominates
    exact = log_coefficients(resnext(good), np.ones(8))[-1] / np.log(10)
    error = float(np.abs(10 ** (exact - approximation_16(good.sum(1))) - 1).max())
    opposed = np.tile(np.array([[1.0, 0.9], [-1.0, 0.9]]), (_DEPTH, 1, 1))
    share = shares(resnext(opposed), np.ones(2))
    cases = [
        Case(
            setting=f"{paths} paths, λ₁ dominates their sum p₁ = 0.6, and L·|pᵢ| ≤ 0.02 for i ≥ 2",
            conditions="complete",
            holds=error < 0.05,
            found=f"every coefficient within {100 * error:.2f} % of Eq. 22's",
        ),
        Case(
            setting="two paths, λ₁ = (1, −1) and λ₂ = (0.9, 0.9): |λ₁| > |λ₂| in each",
            conditions="as stated",
            holds=bool(share[-1, 0] > share[-1, 1]),
            found=f"p = (0, 1.8): v₂ takes over, v₁'s share is {share[-1, 0]:.0e} at depth {_DEPTH}",
        ),
    ]
    shared = constant(1.0, 0.75, 0.5, 0.25)
    halves = np.stack([shared / 2] * paths, 1)  # so that the sum over the paths is twice ResNet's one
    families = {"PlainNet": shared, "ResNet": resnet(shared), "ResNeXt": resnext(halves)}
    even = np.ones(4)
    return Result(
        computed=f"The exact product of {_DEPTH} blocks I + Σ W^k in the common basis, beside Eq. 22.",
        cases=cases,
        under="dominance of the sums p₁ = Σλ₁ over the paths, not of each path, and L·|pᵢ| ≪ 1 for i ≥ 2",
        numbers={
            "error_of_equation_22": error,
            "share_of_v1_with_opposed_paths": float(share[-1, 0]),
            "log10_kappa_of_the_families": {
                name: float(log10_condition(values)[-1]) for name, values in families.items()
            },
        },
        figures=[
            [
                Panel(
                    title="Distance from v₁",
                    x="depth (layers)",
                    y="sine of the angle to v₁",
                    traces=[_trace(name, distance_to_dominant(values, even)) for name, values in families.items()],
                ),
                Panel(
                    title="Share of v₂ (λ₂ = 0.75 λ₁)",
                    x="depth (layers)",
                    y="share of ‖h‖²",
                    traces=[_trace(name, shares(values, even)[:, 1]) for name, values in families.items()],
                ),
                Panel(
                    title="Conditioning",
                    x="depth (layers)",
                    y="κ",
                    traces=[_trace(name, 10 ** log10_condition(values)) for name, values in families.items()],
                ),
            ],
            [
                Panel(
                    title="Paths that cancel",
                    x="depth (layers)",
                    y="share of ‖h‖²",
                    traces=[_trace("v₁ (dominant in each path)", share[:, 0]), _trace("v₂", share[:, 1])],
                )
            ],
        ],
        caption="Above: the three families with λ = (1, 0.75, 0.5, 0.25) in every layer, ResNeXt with four paths of "
        "half of it each. Below: a vector that dominates every path disappears, its eigenvalues cancel in the sum.",
    )
