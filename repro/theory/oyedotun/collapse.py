"""How fast representations collapse in general layers: random, with ReLU, trained (Oyedotun, Remarks 1 to 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
from repro.theory.oyedotun.diagonalizable import constant, log10_condition, resnet, resnext
from repro.theory.real_networks import DEPTH, FAMILIES, STEPS, WIDTH, digits, trained
from repro.theory.result import Case, Result
from repro.theory.statement import STATEMENTS

_NEEDS = STATEMENTS["oyedotun-remarks-1-3"].conditions
_SIZE, _BLOCKS, _PATHS, _SAMPLES = 32, 100, 4, 128
_SINGULAR = -np.log10(np.finfo(np.float32).eps)
"""log₁₀ of the κ from which a matrix is singular to float32."""
_SKIPS = ("ResNet", "ResNeXt")


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
    conditions = []
    for matrix in maps:
        q, r = np.linalg.qr(matrix @ q)
        logs += np.log10(np.abs(np.diag(r)))
        conditions.append(logs.max() - logs.min())
    return np.array(conditions)


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
    h, representations = inputs, []
    for _ in range(blocks):
        first, second = generator.normal(size=(2, paths, n, n)) * np.sqrt(2 / n)
        branch = np.einsum("kij,kjs->is", second, np.maximum(first @ h, 0)) / np.sqrt(paths)
        h = np.maximum(branch if family == "plainnet" else branch + h, 0)
        h = h / np.linalg.norm(h)
        representations.append(h)
    return representations


def leading_share(matrix: Float[np.ndarray, "rows columns"]) -> float:
    """σ₁² / Σσ²: 1 where all columns are multiples of one (v₁'s share, without a common basis)."""
    values = np.linalg.svd(matrix, compute_uv=False)
    return float(values[0] ** 2 / np.sum(values**2))


@torch.no_grad()
def matrices(network: nn.Module, images: Float[Tensor, "batch channels height width"]) -> list[tuple[float, float]]:
    """κ as an n × N matrix and σ₁²/Σσ² of every hidden representation (Definition 2), in eval mode."""
    by_layer: list[tuple[float, float]] = []

    def note(_layer: object, tensor: Tensor) -> None:
        matrix = tensor.flatten(1)
        reading = conditioning([matrix])
        dominance = float(reading.sigma_max[0] ** 2 / matrix.double().square().sum())
        by_layer.append((float(reading.condition_number[0]), dominance))

    passes.run(network.eval(), images, weight_layers(network), read=note)
    return by_layer[1:]


@dataclass(frozen=True)
class _Curves:
    """κ against depth by family."""

    joint: Mapping[str, Float[np.ndarray, " _"]]
    """log₁₀ κ for jointly diagonalizable layers."""
    random: Mapping[str, Float[np.ndarray, " _"]]
    """log₁₀ κ of the product of random linear layers."""
    relu_kappa: Mapping[str, Float[np.ndarray, " _"]]
    relu_share: Mapping[str, Float[np.ndarray, " _"]]
    trained_kappa: Mapping[str, Float[np.ndarray, " _"]]
    trained_share: Mapping[str, Float[np.ndarray, " _"]]

    @property
    def slopes(self) -> dict[str, float]:
        """log₁₀ of the factor by which a random layer multiplies κ, over the second half."""
        half = _BLOCKS // 2
        return {name: float((log[-1] - log[half - 1]) / (2 * (_BLOCKS - half))) for name, log in self.random.items()}


def _find(seed: int) -> _Curves:
    generator = np.random.default_rng(seed)
    shared = constant(1.0, 0.75, 0.5, 0.25)
    random = {name: log_condition(random_blocks(key, _BLOCKS, _SIZE, generator)) for key, name in FAMILIES.items()}
    inputs = generator.normal(size=(_SIZE, _SAMPLES))
    deep = {name: relu_representations(key, 50, inputs, generator) for key, name in FAMILIES.items()}
    images, _ = digits(_SAMPLES)
    after = {name: np.array(matrices(trained(key, seed).network, images)) for key, name in FAMILIES.items()}
    return _Curves(
        joint={
            "PlainNet": log10_condition(shared),
            "ResNet": log10_condition(resnet(shared)),
            "ResNeXt": log10_condition(resnext(np.stack([shared / 2] * _PATHS, 1))),
        },
        random=random,
        # The tolerance is float64's own here: these are no float32 data.
        relu_kappa={
            name: conditioning([torch.from_numpy(h) for h in layers]).condition_number.numpy()
            for name, layers in deep.items()
        },
        relu_share={name: np.array([leading_share(h) for h in layers]) for name, layers in deep.items()},
        trained_kappa={name: values[:, 0] for name, values in after.items()},
        trained_share={name: values[:, 1] for name, values in after.items()},
    )


def _listed(values: Mapping[str, str]) -> str:
    return ", ".join(f"{value} ({name})" for name, value in values.items())


def _cases(curves: _Curves) -> list[Case]:
    joint = {name: float(values[-1]) for name, values in curves.joint.items()}
    growth = {name: f"{10 ** (value / len(curves.joint[name])):.2f}" for name, value in joint.items()}
    ends = {name: f"10^{value:.1f}" for name, value in joint.items()}
    determinant = Fraction(1, 3) ** _BLOCKS  # exact: as small as one likes, never 0
    block, near = log10_condition(resnet(constant(2.0, -1.0))), constant(1.0, -0.9)
    plain, skip = (10 ** (float(log10_condition(each)[-1]) / len(near)) for each in (near, resnet(near)))
    median = {name: float(np.median(values)) for name, values in curves.trained_kappa.items()}
    singular = {name: str(int(np.isinf(values).sum())) for name, values in curves.trained_kappa.items()}
    slopes = curves.slopes
    return [
        Case(
            setting="λ = (1, 0.75, 0.5, 0.25) in every layer: κ grows faster in PlainNet",
            holds=all(joint["PlainNet"] > joint[name] for name in _SKIPS),
            found=f"per layer by a factor of {_listed(growth)}",
        ),
        Case(
            setting="the same, one rule for all: singular to float32 (κ > 8.4e6)",
            drops=[_NEEDS["reading"]],
            holds=joint["PlainNet"] > _SINGULAR and all(joint[name] <= _SINGULAR for name in _SKIPS),
            found=f"at depth {len(curves.joint['PlainNet'])} κ is {_listed(ends)}: by this rule all three are singular",
        ),
        Case(
            setting="one rule for all: singular in exact arithmetic, layers diag(1, 1/3)",
            drops=[_NEEDS["reading"]],
            holds=determinant == 0,
            found=f"after {_BLOCKS} layers PlainNet's det is 3^−{_BLOCKS} ≠ 0: by this rule neither PlainNet nor the "
            "others are singular",
        ),
        Case(
            setting="a ResNet block with λ = (2, −1)",
            drops=[_NEEDS["block"]],
            holds=bool(np.isfinite(block[-1])),
            found="the first block maps v₂ to 0: singular by any rule",
        ),
        Case(
            setting="λ = (1, −0.9) in every layer: κ grows faster in PlainNet",
            drops=[_NEEDS["block"]],
            holds=plain > skip,
            found=f"per layer by a factor of {plain:.2f} (PlainNet), {skip:.0f} (ResNet): here the skip hastens it",
        ),
        Case(
            setting=f"random linear layers of {_SIZE} units: κ grows faster in PlainNet",
            drops=[_NEEDS["joint"]],
            holds=all(slopes["PlainNet"] > 1.5 * slopes[name] for name in _SKIPS),
            found=f"per layer by a factor of {_listed({name: f'{10**slope:.2f}' for name, slope in slopes.items()})}; "
            f"the law for PlainNet says {10 ** plain_growth(_SIZE):.2f}",
        ),
        Case(
            setting=f"trained {DEPTH}-layer networks (width {WIDTH}, {STEPS} steps): PlainNet worse conditioned",
            drops=[_NEEDS["joint"]],
            holds=all(median["PlainNet"] > median[name] for name in _SKIPS),
            found=f"median κ {_listed({name: f'{value:.3g}' for name, value in median.items()})}; singular to float32 "
            f"{_listed(singular)} of {len(curves.trained_kappa['PlainNet'])}",
        ),
    ]


def remarks_1_to_3(seed: int) -> Result:
    """κ of representations against depth in the three families: jointly diagonalizable, random, trained."""
    curves = _find(seed)
    accuracy = {name: trained(key, seed).accuracy for key, name in FAMILIES.items()}
    return Result(
        computed="κ of the n × N matrix of representations and σ₁²/Σσ² (v₁'s share without a common basis) against "
        "depth: jointly diagonalizable layers, random linear ones, random ones with ReLU, networks trained on digits.",
        cases=_cases(curves),
        remark="Every family collapses in the end; skip connections change the rate. With ReLU and without "
        "normalisation one unit that is 0 for every sample makes H singular, which happens in all three. Trained "
        f"networks reached {_listed({name: f'{100 * value:.0f} %' for name, value in accuracy.items()})} of their "
        "training digits.",
        numbers={
            "log10_growth_per_layer": curves.slopes,
            "law": plain_growth(_SIZE),
            "trained_median_kappa": {name: float(np.median(values)) for name, values in curves.trained_kappa.items()},
            "trained_singular": {name: int(np.isinf(values).sum()) for name, values in curves.trained_kappa.items()},
            "accuracy": accuracy,
            "relu_leading_share": {name: float(values[-1]) for name, values in curves.relu_share.items()},
        },
        figures=_panels(curves),
        caption="Above: κ against depth. Below: the share of the first singular direction, 1 where all samples look "
        "alike up to scale.",
    )


def _traces(curves: Mapping[str, Float[np.ndarray, " points"]], layers: float = 1.0) -> list[Trace]:
    return [
        Trace(label=label, x=layers * np.arange(1, len(values) + 1, dtype=float), y=values)
        for label, values in curves.items()
    ]


def _panels(curves: _Curves) -> list[list[Panel]]:
    random, trained_x = "Random layers with ReLU", "layer, from the input"
    shown = {name: 10.0 ** np.minimum(values, 300) for name, values in curves.random.items()}
    shown["PlainNet's law"] = 10.0 ** (2 * plain_growth(_SIZE) * np.arange(1, _BLOCKS + 1))
    strips = {"infinite": "∞ (singular to float64)", "non-finite": "non-finite entries"}
    depth, kappa, dominance = "depth (layers)", "κ of H", "σ₁² / Σσ²"
    return [
        [
            Panel(title="Random linear layers", x=depth, y="κ of the product", traces=_traces(shown, 2.0)),
            Panel(title=random, x=depth, y=kappa, traces=_traces(curves.relu_kappa, 2.0), strips=strips),
            Panel(title="Trained networks", x=trained_x, y=kappa, traces=_traces(curves.trained_kappa)),
        ],
        [
            Panel(title=title, x=x, y=dominance, traces=traces, y_scale="linear", y_limits=(0.0, 1.04))
            for title, x, traces in (
                (random, depth, _traces(curves.relu_share, 2.0)),
                ("Trained networks", trained_x, _traces(curves.trained_share)),
            )
        ],
    ]
