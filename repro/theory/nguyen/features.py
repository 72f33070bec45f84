"""The rank of the matrix Ψ of chosen neurons over random draws, and where it is lost (Nguyen, Lemma 3.2)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from repro.figures.panels import Panel, Trace
from repro.spectra import conditioning
from repro.theory.nguyen import skip_points
from repro.theory.nguyen.skip_points import ACTIVATIONS
from repro.theory.real_networks import digits
from repro.theory.result import Case, Result

_SAMPLES, _DRAWS, _WIDTHS = 32, 20, (24, 24, 24)

Features = Float[Tensor, "samples neurons"]
DrawFeatures = Callable[[torch.Generator], Features]


def _choose(neurons: Features, generator: torch.Generator) -> Float[Tensor, "samples chosen"]:
    """As many neurons as samples, at random."""
    return neurons[:, torch.randperm(neurons.shape[1], generator=generator)[: len(neurons)]]


def fully_connected(activation: str, *, every: bool = False) -> DrawFeatures:
    """N of 72 neurons in three layers with a bias each (or all of them), on N digits."""
    x, _ = skip_points.inputs(_SAMPLES)

    def draw(generator: torch.Generator) -> Features:
        hidden = skip_points.random_hidden(_WIDTHS, x.shape[1], generator, activation=activation)
        neurons = hidden.neurons(x)
        return neurons if every else _choose(neurons, generator)

    return draw


def convolutional(activation: str, *, pooled: bool = False) -> DrawFeatures:
    """N neurons of two 3 × 3 convolutions of 4 channels, whose biases a feature map shares, on N digits.

    They are chosen from the middle third of each map, where all digits differ.

    Args:
        activation: A key of `ACTIVATIONS`.
        pooled: Max-pooling between the two, whose outputs the second one reads.
    """
    images, _ = digits(_SAMPLES)
    images = images.double()

    def middle(maps: Tensor) -> Tensor:
        side = maps.shape[-1]
        return maps[:, :, side // 3 : -(side // 3), side // 3 : -(side // 3)].flatten(1)

    def draw(generator: torch.Generator) -> Features:
        def layer(x: Tensor) -> Tensor:
            weight = torch.randn(4, x.shape[1], 3, 3, generator=generator, dtype=torch.float64)
            weight *= (2 / (9 * x.shape[1])) ** 0.5
            bias = torch.randn(4, generator=generator, dtype=torch.float64)
            return ACTIVATIONS[activation](F.conv2d(x, weight, bias, padding=1))

        first = layer(images)
        second = layer(F.max_pool2d(first, 2) if pooled else first)
        return _choose(middle(second) if pooled else torch.cat([middle(first), middle(second)], 1), generator)

    return draw


def borders(activation: str) -> DrawFeatures:
    """N neurons of one 3 × 3 convolution of 8 channels at random places, most of the outer ones black in all digits."""
    images, _ = digits(_SAMPLES)
    images = images.double()

    def draw(generator: torch.Generator) -> Features:
        weight = torch.randn(8, 1, 3, 3, generator=generator, dtype=torch.float64) * (2 / 9) ** 0.5
        bias = torch.randn(8, generator=generator, dtype=torch.float64)
        return _choose(ACTIVATIONS[activation](F.conv2d(images, weight, bias, padding=1)).flatten(1), generator)

    return draw


def constant_images(*, shared_bias: bool) -> DrawFeatures:
    """A 1 × 1 convolution at two places of two constant images, as N = 2 neurons: one bias for the map, or one each."""
    images = torch.tensor([[0.2, 0.2], [0.9, 0.9]], dtype=torch.float64)

    def draw(generator: torch.Generator) -> Features:
        weight = torch.randn(1, generator=generator, dtype=torch.float64)
        bias = torch.randn(1 if shared_bias else 2, generator=generator, dtype=torch.float64)
        return torch.sigmoid(weight * images + bias)

    return draw


def small_relu(generator: torch.Generator) -> Features:
    """N = 4 neurons of one ReLU layer on four points of the plane."""
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]], dtype=torch.float64)
    return skip_points.random_hidden((4,), 2, generator, activation="ReLU").neurons(x)


def scaled(psi: Features) -> Features:
    """Columns of norm 1, which changes no rank: softplus makes neurons of 1e-40 that are not 0."""
    norms = psi.norm(dim=0)
    return psi / torch.where(norms > 0, norms, 1)


def full_ranks(draw: DrawFeatures, draws: int, seed: int) -> tuple[int, Float[np.ndarray, " values"]]:
    """How many of so many draws have full rank to float64, and the singular values of the median one over its largest.

    The median is by the smallest singular value.
    """
    spectra, full = [], 0
    for number in range(draws):
        psi = scaled(draw(torch.Generator().manual_seed(seed * 10_000 + number)))
        full += int(conditioning([psi]).rank[0]) == len(psi)
        values = torch.linalg.svdvals(psi).numpy()
        spectra.append(values / max(values[0], 1e-300))
    ordered = sorted(spectra, key=lambda values: float(values[-1]))
    return full, ordered[len(ordered) // 2]


def lemma_3_2(seed: int) -> Result:
    """Ranks over random draws: the lemma's networks, and those that lack one of its conditions."""
    many = 50 * _DRAWS
    settings: dict[str, tuple[DrawFeatures, int]] = {
        "fully connected, sigmoid": (fully_connected("sigmoid"), _DRAWS),
        "fully connected, softplus": (fully_connected("softplus"), _DRAWS),
        "a bias for each unit": (constant_images(shared_bias=False), _DRAWS),
        "a shared bias": (constant_images(shared_bias=True), _DRAWS),
        "convolutions, sigmoid, middle": (convolutional("sigmoid"), _DRAWS),
        "convolution, sigmoid, borders": (borders("sigmoid"), _DRAWS),
        "convolutions, softplus": (convolutional("softplus"), _DRAWS),
        "max-pooling, sigmoid": (convolutional("sigmoid", pooled=True), _DRAWS),
        "fully connected, tanh": (fully_connected("tanh"), _DRAWS),
        "fully connected, ReLU": (fully_connected("ReLU"), _DRAWS),
        "fully connected, ReLU, all neurons": (fully_connected("ReLU", every=True), _DRAWS),
        "four ReLU units": (small_relu, many),
    }
    found = {name: full_ranks(draw, draws, seed) for name, (draw, draws) in settings.items()}

    def case(name: str, setting: str, conditions: str, note: str = "") -> Case:
        full, values = found[name]
        draws = settings[name][1]
        last = f"σmin/σmax {values[-1]:.0e} in the median one"
        return Case(
            setting=setting,
            conditions=conditions,  # type: ignore[arg-type]
            holds=full == draws,
            found=f"full rank in {full} of {draws:,} draws, {last}{note}",
        )

    cases = [
        case("fully connected, sigmoid", f"N = {_SAMPLES} of 72 sigmoid neurons in 3 layers, on digits", "complete"),
        case("fully connected, softplus", "the same with softplus, some neurons of each layer not chosen", "complete"),
        case("a bias for each unit", "1 × 1 convolution, two constant images, two places, a bias for each", "complete"),
        case(
            "a shared bias",
            "the same with the one bias of a convolution, as in the paper's networks",
            "as stated",
            "; both columns are equal for every U, since each image is constant",
        ),
        case("convolutions, sigmoid, middle", "3 × 3 convolution with shared biases, units over the digits", "beside"),
        case(
            "convolution, sigmoid, borders",
            "units anywhere: many see a black patch in every digit (patches not distinct)",
            "beside",
        ),
        case(
            "convolutions, softplus",
            "softplus, convolutions, units over the digits: no path free of shared weights",
            "beside",
        ),
        case("max-pooling, sigmoid", "units after max-pooling, sigmoid (not analytic), over the digits", "beside"),
        case("fully connected, tanh", "tanh (no limit 0 at −∞)", "beside"),
        case("fully connected, ReLU", "ReLU (not analytic)", "beside", ": units that no digit wakes"),
        case("fully connected, ReLU, all neurons", "ReLU, all 72 neurons chosen", "beside"),
        case("four ReLU units", "four ReLU units on four points of the plane", "beside", ": a set of positive measure"),
    ]
    shown = [name for name in settings if len(found[name][1]) == _SAMPLES]
    left, right = shown[:4], shown[4:]

    def traces(names: list[str]) -> list[Trace]:
        order = np.arange(1, _SAMPLES + 1, dtype=float)
        return [Trace(label=name, x=order, y=np.maximum(found[name][1], 1e-18)) for name in names]

    return Result(
        computed=f"Rank of Ψ for N = {_SAMPLES} digits and as many neurons over {_DRAWS} random draws of U, in "
        f"float64, columns scaled to norm 1 (singular values under {3 * 2.2e-16:.1e} of the largest count as zero).",
        cases=cases,
        under="a bias for each unit, which convolutions do not have",
        remark="The conditions are sufficient: without them the rank is often full all the same. Full is not "
        "well-conditioned: to float32 (1.2e-7) many of these Ψ lack rank.",
        numbers={
            name: {"full": full, "draws": settings[name][1], "smallest_over_largest": float(values[-1])}
            for name, (full, values) in found.items()
        },
        figures=[
            [Panel(title="Singular values of Ψ", x="number", y="σ / σmax", traces=traces(part), reference=1.2e-7)]
            for part in (left, right)
        ],
        caption="Singular values of the median draw. The dotted line is float32's precision; those below 1e-18 are "
        "drawn there.",
    )
