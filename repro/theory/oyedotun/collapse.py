"""How fast representations collapse in general layers: random, with ReLU, trained (Oyedotun, Remarks 1 to 3)."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import digamma
from torch import Tensor, nn

from repro.figures.panels import Panel, Trace
from repro.measurements import passes
from repro.networks import weight_layers
from repro.spectra import conditioning
from repro.theory.real_networks import DEPTH, FAMILIES, STEPS, WIDTH, digits, trained
from repro.theory.result import Case, Result

_SIZE, _BLOCKS, _PATHS, _SAMPLES = 32, 100, 4, 128


def random_blocks(family: str, blocks: int, n: int, generator: np.random.Generator) -> Float[np.ndarray, "blocks n n"]:
    """The linear maps of blocks of two layers with entries of variance 1/n (Eq. 1, 3, 5): WW, WW + I, Σ WW + I.

    The paths of a ResNeXt are scaled by 1/√m, so that their sum is as large as ResNet's one path.
    """
    paths = _PATHS if family == "resnext" else 1
    first, second = generator.normal(size=(2, blocks, paths, n, n)) / np.sqrt(n)
    maps: Float[np.ndarray, "blocks n n"] = (second @ first).sum(1) / np.sqrt(paths)
    return maps if family == "plainnet" else maps + np.eye(n)


def log_condition(maps: Float[np.ndarray, "blocks n n"]) -> Float[np.ndarray, " blocks"]:
    """log₁₀ κ of the product of the first maps, for every number of them, beyond what float64 holds.

    The product is kept as Q·R; of R, whose rows may differ by hundreds of orders of magnitude, only the logarithms of
    the diagonal are accumulated. They grow as the singular values do (Benettin et al. 1980), so that the slope against
    depth is exact in the limit and the first few values are estimates.
    """
    q = np.eye(maps.shape[1])
    logs = np.zeros(maps.shape[1])
    found = []
    for each in maps:
        q, r = np.linalg.qr(each @ q)
        logs += np.log10(np.abs(np.diag(r)))
        found.append(logs.max() - logs.min())
    return np.array(found)


def plain_growth(n: int) -> float:
    """log₁₀ of the factor by which one Gaussian n × n layer multiplies κ of a deep product, in the limit.

    Half the difference of the extreme Lyapunov exponents, ψ(n/2) − ψ(1/2) (Newman 1986).
    """
    return float((digamma(n / 2) - digamma(0.5)) / 2 / np.log(10))


def relu_representations(
    family: str, blocks: int, inputs: Float[np.ndarray, "n samples"], generator: np.random.Generator
) -> list[Float[np.ndarray, "n samples"]]:
    """Representations after every block of two layers with ReLU and He's variance 2/n.

    A representation's scale changes no condition number, so it is divided by its norm.
    """
    n = len(inputs)
    paths = _PATHS if family == "resnext" else 1
    h, found = inputs, []
    for _ in range(blocks):
        first, second = generator.normal(size=(2, paths, n, n)) * np.sqrt(2 / n)
        branch = np.einsum("kij,kjs->is", second, np.maximum(first @ h, 0)) / np.sqrt(paths)
        h = np.maximum(branch if family == "plainnet" else branch + h, 0)
        h = h / np.linalg.norm(h)
        found.append(h)
    return found


def leading_share(matrix: Float[np.ndarray, "rows columns"]) -> float:
    """σ₁² / Σσ²: 1 where all columns are multiples of one (v₁'s share, without a common basis)."""
    values = np.linalg.svd(matrix, compute_uv=False)
    return float(values[0] ** 2 / np.sum(values**2))


def exact_determinant(layers: int) -> Fraction:
    """Det of a product of so many layers diag(1, 1/3), in exact arithmetic: as small as one likes, never 0."""
    return Fraction(1, 3) ** layers


@torch.no_grad()
def matrices(network: nn.Module, images: Float[Tensor, "batch channels height width"]) -> list[tuple[float, float]]:
    """κ as an n × N matrix and σ₁²/Σσ² of every hidden representation (Definition 2), in eval mode."""
    found: list[tuple[float, float]] = []

    def note(_layer: object, tensor: Tensor) -> None:
        matrix = tensor.flatten(1)
        known = conditioning([matrix])
        share = float(known.sigma_max[0] ** 2 / matrix.double().square().sum())
        found.append((float(known.condition_number[0]), share))

    passes.run(network.eval(), images, weight_layers(network), read=note)
    return found[1:]


def _traces(curves: Mapping[str, Float[np.ndarray, " points"]], layers: float = 1.0) -> list[Trace]:
    return [
        Trace(label=label, x=layers * np.arange(1, len(values) + 1, dtype=float), y=values)
        for label, values in curves.items()
    ]


def remarks_1_to_3(seed: int) -> Result:
    """κ of representations against depth in the three families: random linear, random with ReLU, trained."""
    generator = np.random.default_rng(seed)
    linear = {name: log_condition(random_blocks(key, _BLOCKS, _SIZE, generator)) for key, name in FAMILIES.items()}
    half = _BLOCKS // 2
    slopes = {name: float((values[-1] - values[half - 1]) / (2 * (_BLOCKS - half))) for name, values in linear.items()}
    law = plain_growth(_SIZE)
    relu_kappa, relu_share = {}, {}
    inputs = generator.normal(size=(_SIZE, _SAMPLES))
    for key, name in FAMILIES.items():
        deep = relu_representations(key, 50, inputs, generator)
        # The tolerance is float64's own here: these are no float32 data.
        known = conditioning([torch.from_numpy(h) for h in deep])
        relu_kappa[name] = known.condition_number.numpy()
        relu_share[name] = np.array([leading_share(h) for h in deep])
    images, _ = digits(_SAMPLES)
    after = {name: matrices(trained(key, seed).network, images) for key, name in FAMILIES.items()}
    trained_kappa = {name: np.array([kappa for kappa, _ in values]) for name, values in after.items()}
    trained_share = {name: np.array([share for _, share in values]) for name, values in after.items()}
    median = {name: float(np.median(values)) for name, values in trained_kappa.items()}
    singular = {name: int(np.isinf(values).sum()) for name, values in trained_kappa.items()}
    accuracy = {name: trained(key, seed).accuracy for key, name in FAMILIES.items()}
    determinant = exact_determinant(_BLOCKS)
    skips = ("ResNet", "ResNeXt")
    cases = [
        Case(
            setting=f"random linear layers of {_SIZE} units, slope of κ over the second half of {2 * _BLOCKS} layers",
            conditions="complete",
            holds=all(slopes["PlainNet"] > 1.5 * slopes[name] for name in skips),
            found="κ grows per layer by a factor of "
            + ", ".join(f"{10**slope:.2f} ({name})" for name, slope in slopes.items())
            + f"; the law for PlainNet says {10**law:.2f}",
        ),
        Case(
            setting=f"trained {DEPTH}-layer networks (width {WIDTH}, {STEPS} steps): PlainNet worse conditioned",
            conditions="complete",
            holds=all(median["PlainNet"] > median[name] for name in skips),
            found="median κ "
            + ", ".join(f"{value:.3g} ({name})" for name, value in median.items())
            + "; singular to float32 "
            + ", ".join(f"{value} ({name})" for name, value in singular.items())
            + f" of {len(after['PlainNet'])}",
        ),
        Case(
            setting="H is singular in exact arithmetic, PlainNet of non-singular layers diag(1, 1/3)",
            conditions="as stated",
            holds=determinant == 0,
            found=f"after {_BLOCKS} layers det = 3^−{_BLOCKS} ≠ 0: ill-conditioned, never singular",
        ),
        Case(
            setting="ResNet's and ResNeXt's H stay well-conditioned at any depth (random linear layers)",
            conditions="as stated",
            holds=all(linear[name][-1] < 7 for name in skips),
            found="κ at depth "
            + f"{2 * _BLOCKS}: "
            + ", ".join(f"10^{values[-1]:.0f} ({name})" for name, values in linear.items()),
        ),
    ]
    shown = {name: 10.0 ** np.minimum(values, 300) for name, values in linear.items()}
    reference = {"PlainNet's law": 10.0 ** (2 * law * np.arange(1, _BLOCKS + 1))}
    trained_traces = [
        Trace(label=name, x=np.arange(1, len(values) + 1, dtype=float), y=values)
        for name, values in trained_kappa.items()
    ]
    share_traces = [
        Trace(label=name, x=np.arange(1, len(values) + 1, dtype=float), y=values)
        for name, values in trained_share.items()
    ]
    return Result(
        computed="κ of the n × N matrix of representations and σ₁²/Σσ² (v₁'s share without a common basis) against "
        "depth: products of random linear layers, random layers with ReLU, and networks trained on digits.",
        cases=cases,
        under="“singular” read as “ill-conditioned, and the sooner so without skip connections”",
        remark="Every family collapses in the end; skip connections change the rate. With ReLU and without "
        "normalisation one unit that is 0 for every sample makes H singular, which happens in all three. "
        "Trained networks reached "
        + ", ".join(f"{100 * value:.0f} % ({name})" for name, value in accuracy.items())
        + " of their training digits.",
        numbers={
            "log10_growth_per_layer": slopes,
            "law": law,
            "trained_median_kappa": median,
            "trained_singular": singular,
            "accuracy": accuracy,
            "relu_leading_share": {name: float(values[-1]) for name, values in relu_share.items()},
        },
        figures=[
            [
                Panel(
                    title="Random linear layers",
                    x="depth (layers)",
                    y="κ of the product",
                    traces=_traces({**shown, **reference}, 2.0),
                ),
                Panel(
                    title="Random layers with ReLU",
                    x="depth (layers)",
                    y="κ of H",
                    traces=_traces(relu_kappa, 2.0),
                    strips={"infinite": "∞ (singular to float64)", "non-finite": "non-finite entries"},
                ),
                Panel(title="Trained networks", x="layer, from the input", y="κ of H", traces=trained_traces),
            ],
            [
                Panel(
                    title="Random layers with ReLU",
                    x="depth (layers)",
                    y="σ₁² / Σσ²",
                    traces=_traces(relu_share, 2.0),
                    y_scale="linear",
                    y_limits=(0.0, 1.04),
                ),
                Panel(
                    title="Trained networks",
                    x="layer, from the input",
                    y="σ₁² / Σσ²",
                    traces=share_traces,
                    y_scale="linear",
                    y_limits=(0.0, 1.04),
                ),
            ],
        ],
        caption="Above: κ against depth. Below: the share of the first singular direction, 1 where all samples look "
        "alike up to scale.",
    )
