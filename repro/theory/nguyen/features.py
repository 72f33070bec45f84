"""The rank of the matrix Ψ of chosen neurons over random draws, and where it is lost (Nguyen, Lemma 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
from repro.theory.statement import STATEMENTS

_NEEDS = STATEMENTS["nguyen-lemma-3.2"].conditions
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

    They are chosen from the middle third of each map, where all digits differ. `pooled`: max-pooling between the two,
    whose outputs the second one reads.
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


@dataclass(frozen=True)
class _Setting:
    """A kind of network to draw."""

    name: str
    """Its name in the figures."""
    text: str
    draw: DrawFeatures
    drops: Sequence[str] = ()
    """Names of the lemma's conditions."""
    draws: int = _DRAWS


def _settings() -> list[_Setting]:
    """The lemma's networks, and those that lack some of its conditions."""
    every, relu = fully_connected("ReLU", every=True), ["analytic", "limit"]
    convolution = "3 × 3 convolutions (a bias for each map), units over the digits"
    return [
        _Setting(
            "fully connected, sigmoid", f"{_SAMPLES} of 72 units in 3 layers, sigmoid", fully_connected("sigmoid")
        ),
        _Setting(
            "fully connected, softplus",
            "the same with softplus, some neurons of each layer not chosen",
            fully_connected("softplus"),
        ),
        _Setting(
            "a bias for each unit",
            "1 × 1 convolution, two constant images, two places, a bias for each unit",
            constant_images(shared_bias=False),
        ),
        _Setting(
            "a shared bias",
            "the same with one bias for the map: both columns are equal for every U",
            constant_images(shared_bias=True),
            ["bias"],
        ),
        _Setting("convolutions, sigmoid, middle", f"{convolution}, sigmoid", convolutional("sigmoid"), ["bias"]),
        _Setting(
            "convolution, sigmoid, borders",
            "the same, units anywhere: many see a black patch in every digit",
            borders("sigmoid"),
            ["bias", "patches"],
        ),
        _Setting("convolutions, softplus", f"{convolution}, softplus", convolutional("softplus"), ["bias", "path"]),
        _Setting(
            "max-pooling, sigmoid",
            "the same after max-pooling, sigmoid",
            convolutional("sigmoid", pooled=True),
            ["bias", "analytic"],
        ),
        _Setting("fully connected, tanh", "tanh", fully_connected("tanh"), ["limit"]),
        _Setting("fully connected, ReLU", "ReLU: units that no digit wakes", fully_connected("ReLU"), relu),
        _Setting("fully connected, ReLU, all neurons", "ReLU, all 72 chosen", every, relu),
        _Setting(
            "four ReLU units",
            "four ReLU units on four points of the plane: a set of positive measure",
            small_relu,
            relu,
            50 * _DRAWS,
        ),
    ]


def lemma_3_2(seed: int) -> Result:
    """Ranks over random draws: the lemma's networks, and those that lack one of its conditions."""
    settings = _settings()
    ranks = {setting.name: full_ranks(setting.draw, setting.draws, seed) for setting in settings}
    cases = [
        Case(
            setting=setting.text,
            drops=[_NEEDS[name] for name in setting.drops],
            holds=ranks[setting.name][0] == setting.draws,
            found=f"full rank in {ranks[setting.name][0]} of {setting.draws:,} draws, σmin/σmax "
            f"{ranks[setting.name][1][-1]:.0e} in the median one",
        )
        for setting in settings
    ]
    shown = [name for name, (_, values) in ranks.items() if len(values) == _SAMPLES]
    order = np.arange(1, _SAMPLES + 1, dtype=float)
    figures = []
    for part in (shown[:4], shown[4:]):
        traces = [Trace(label=name, x=order, y=np.maximum(ranks[name][1], 1e-18)) for name in part]
        figures.append([Panel(title="Singular values of Ψ", x="number", y="σ / σmax", traces=traces, reference=1.2e-7)])
    return Result(
        computed=f"Rank of Ψ for N = {_SAMPLES} digits and as many neurons over {_DRAWS} random draws of U, in "
        f"float64, columns scaled to norm 1 (singular values under {3 * 2.2e-16:.1e} of the largest count as zero).",
        cases=cases,
        remark="The paper counts convolutional networks among those of its section 2, which have a bias for each unit; "
        "the usual convolution has one for a map. The conditions are sufficient: without them the rank is often full "
        "all the same. Full is not well-conditioned: to float32 (1.2e-7) many of these Ψ lack rank.",
        numbers={
            setting.name: {"full": full, "draws": setting.draws, "smallest_over_largest": float(values[-1])}
            for setting, (full, values) in zip(settings, ranks.values(), strict=True)
        },
        figures=figures,
        caption="Singular values of the median draw. The dotted line is float32's precision; those below 1e-18 are "
        "drawn there.",
    )
