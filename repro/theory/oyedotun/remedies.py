"""Two remedies in Oyedotun's section 6.5: nearly equal singular values, and the identity inside the weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from repro.figures.panels import Panel, Trace
from repro.theory.oyedotun.information import with_singular_values
from repro.theory.real_networks import seeded
from repro.theory.result import Case, Result
from repro.theory.statement import STATEMENTS

_SIZE, _LAYERS = 16, 100
_DEEP, _STEPS = 100, 200
"""Of the DiracNet: layers, steps of its fit."""


def bound_on_product(largest_ratio: float, layers: int) -> float:
    """κ of a product is at most the product of κ: (1 + δ)^L for layers with σmax/σmin ≤ 1 + δ."""
    return largest_ratio**layers


def conditions_of_products(ratio: float, layers: int, n: int, generator: np.random.Generator) -> list[float]:
    """κ of products of 1, 2, … random layers whose singular values lie evenly between 1 and `ratio`."""
    values = np.linspace(1.0, ratio, n)
    return condition_of_product(with_singular_values(values, generator)[0] for _ in range(layers))


def _unit_triangular(n: int, generator: np.random.Generator) -> Float[np.ndarray, "n n"]:
    """All eigenvalues 1, singular values far apart."""
    return np.eye(n) + np.triu(generator.normal(size=(n, n)), 1)


def condition_of_product(layers: Iterable[Float[np.ndarray, "n n"]]) -> list[float]:
    """κ of the product of the first layers, for every number of them; float64 ends at 1e16."""
    product: Float[np.ndarray, "n n"] | None = None
    conditions = []
    for layer in layers:
        product = layer if product is None else layer @ product
        product = product / np.linalg.norm(product, 2)
        conditions.append(float(np.linalg.cond(product)))
    return conditions


def section_6_5_b(seed: int) -> Result:
    """κ of deep products of layers whose largest singular value is little larger than the others."""
    needs = STATEMENTS["oyedotun-section-6.5b"].conditions
    generator = np.random.default_rng(seed)
    ratios = (1.02, 1.1, 2.0)
    curves = {f"σmax/σmin = {ratio:g}": conditions_of_products(ratio, _LAYERS, _SIZE, generator) for ratio in ratios}
    basis, _ = np.linalg.qr(generator.normal(size=(_SIZE, _SIZE)))
    near = generator.uniform(1.0, 1.02, (_LAYERS, _SIZE))
    curves["one basis, λ from 1 to 1.02"] = condition_of_product(basis @ np.diag(values) @ basis.T for values in near)
    curves["Gaussian"] = condition_of_product(generator.normal(size=(_LAYERS, _SIZE, _SIZE)))
    curves["eigenvalues 1"] = condition_of_product(_unit_triangular(_SIZE, generator) for _ in range(_LAYERS))
    last = {name: values[-1] for name, values in curves.items()}
    bound = bound_on_product(1.02, _LAYERS)
    others = {
        "σmax/σmin = 1.02": ("no common basis, σmax/σmin = 1.02 in each layer", [needs["joint"]]),
        "σmax/σmin = 2": ("no common basis, σmax/σmin = 2", [needs["joint"], needs["equal"]]),
        "Gaussian": ("Gaussian layers", [needs["joint"], needs["equal"]]),
        "eigenvalues 1": ("all eigenvalues 1 and no common basis (triangular layers)", [needs["joint"]]),
    }
    cases = [
        Case(
            setting=f"one orthogonal basis, eigenvalues drawn from 1 to 1.02 in each of {_LAYERS} layers",
            holds=last["one basis, λ from 1 to 1.02"] <= bound < 10,
            found=f"κ = {last['one basis, λ from 1 to 1.02']:.2f} at depth {_LAYERS}, at most 1.02^{_LAYERS} = "
            f"{bound:.1f}",
        ),
        *(
            Case(setting=setting, drops=dropped, holds=last[name] < 10, found=f"κ = {last[name]:.1e}")
            for name, (setting, dropped) in others.items()
        ),
    ]
    depth = np.arange(1, _LAYERS + 1, dtype=float)
    traces = [Trace(label=name, x=depth, y=np.array(values)) for name, values in curves.items()]
    return Result(
        computed=f"κ of products of {_LAYERS} random layers with given eigenvalues or singular values.",
        cases=cases,
        remark="In layers with one orthogonal basis singular values are the magnitudes of the eigenvalues. This is the "
        "linear map alone: whether a PlainNet that is regularised so then trains is the study oyedotun-regularised "
        "(--training.spectral_penalty).",
        numbers={"kappa_at_depth_100": last},
        figures=[[Panel(title="Conditioning of the product", x="depth (layers)", y="κ", traces=traces)]],
        caption="How nearly equal the singular values of a layer must be for the product to stay well-conditioned.",
    )


class LinearDirac(nn.Module):
    """h = Π (Wˡ + diag(aˡ)) x (Eq. 28 and 29) with small W, square layers."""

    def __init__(self, layers: int, n: int, *, held: bool) -> None:
        super().__init__()
        self.w = nn.Parameter(0.1 * torch.randn(layers, n, n, dtype=torch.float64) / n**0.5)
        self.a = nn.Parameter(torch.ones(layers, n, dtype=torch.float64), requires_grad=not held)

    def forward(self, x: Float[Tensor, "n samples"]) -> Float[Tensor, "n samples"]:
        """The outputs, a column for each input."""
        for w, a in zip(self.w, self.a, strict=True):
            x = w @ x + a[:, None] * x
        return x

    def away(self) -> float:
        """‖a − 1‖ / ‖1‖."""
        return float((self.a.detach() - 1).norm() / self.a.numel() ** 0.5)

    def condition(self) -> float:
        """κ of the whole map."""
        with torch.no_grad():
            return float(torch.linalg.cond(self(torch.eye(self.a.shape[1], dtype=torch.float64))))


@dataclass(frozen=True)
class _Fit:
    """A linear DiracNet over its fit to a random map."""

    start: float
    """Difference from ResNet's form before it, relative."""
    away: Sequence[float]
    kappas: Sequence[float]
    outputs: Sequence[float]
    """‖h − x‖ / ‖x‖ at every step."""
    losses: Sequence[float]


def fit(seed: int, *, held: bool, layers: int = _DEEP, steps: int = _STEPS, rate: float = 2e-3) -> _Fit:
    """Gradient descent on a linear DiracNet towards a random linear map, with a free or held at 1."""
    with seeded(seed):
        network = LinearDirac(layers, _SIZE, held=held)
        x = torch.randn(_SIZE, 64, dtype=torch.float64)
        y = torch.randn(_SIZE, _SIZE, dtype=torch.float64) @ x / _SIZE**0.5
    residual_form = x
    for w in network.w.detach():
        residual_form = w @ residual_form + residual_form
    optimizer = torch.optim.SGD([parameter for parameter in network.parameters() if parameter.requires_grad], lr=rate)
    start, away, kappas, outputs, losses = 0.0, [], [], [], []
    for step in range(steps + 1):
        optimizer.zero_grad()
        output = network(x)
        loss = (output - y).square().mean()
        output = output.detach()
        if step == 0:
            start = float((output - residual_form).norm() / residual_form.norm())
        away.append(network.away())
        kappas.append(network.condition())
        outputs.append(float((output - x).norm() / x.norm()))
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    return _Fit(start, away, kappas, outputs, losses)


def section_6_5_c(seed: int) -> Result:
    """A linear DiracNet of 100 layers fitted to a random map, with a free and held at 1, which is ResNet's sum."""
    fits = {"a free": fit(seed, held=False), "a held at 1": fit(seed, held=True)}
    free, held = fits.values()
    cases = [
        Case(
            setting="before training, a = 1",
            holds=max(free.start, held.start) < 1e-12,
            found=f"equals ResNet's x + Wx, layer by layer, to {max(free.start, held.start):.0e}",
        ),
        Case(
            setting=f"after {_STEPS} steps of gradient descent with a free: diag(a) is not I",
            holds=free.away[-1] > max(1e-3, free.away[_STEPS // 2]),
            found=f"‖a − 1‖ / ‖1‖ = {free.away[-1]:.4f}, and it was {free.away[_STEPS // 2]:.4f} half way",
        ),
        Case(
            setting="“optimization becomes difficult”: the fit ends worse than with a held at 1",
            holds=free.losses[-1] > held.losses[-1],
            found=f"loss {free.losses[10]:.3f} (free) and {held.losses[10]:.3f} (held) after 10 steps, "
            f"{free.losses[-1]:.3f} and {held.losses[-1]:.3f} in the end",
        ),
        Case(
            setting="“far from x”",
            instead="a comparison with a held at 1: both go to the map that they fit, however far that is",
            holds=free.outputs[-1] > held.outputs[-1],
            found=f"‖h − x‖ / ‖x‖ is {free.outputs[-1]:.3f} (free) and {held.outputs[-1]:.3f} (held); κ of the map "
            f"{free.kappas[-1]:.3g} and {held.kappas[-1]:.3g}",
        ),
    ]
    steps = np.arange(_STEPS + 1, dtype=float)
    away = [Trace(label=name, x=steps, y=np.array(fit.away)) for name, fit in fits.items()]
    kappas = [Trace(label=name, x=steps, y=np.array(fit.kappas)) for name, fit in fits.items()]
    return Result(
        computed=f"Gradient descent on a linear DiracNet of {_DEEP} layers towards a random linear map. W is drawn "
        "small, of variance 0.01/n (the paper: “e.g. as in [32]”, which is 2/n).",
        cases=cases,
        remark="A free diagonal is faster at first and worse in the end. The study oyedotun-diracnet trains networks "
        "of 110 layers (a free, a held at 1, and as the DiracNets that were published), and oyedotun-distance looks at "
        "how far they are from the input.",
        numbers={
            "loss": {name: fit.losses[-1] for name, fit in fits.items()},
            "distance": {name: fit.away[-1] for name, fit in fits.items()},
        },
        figures=[
            [
                Panel(title="How far the diagonals move", x="step", y="‖a − 1‖ / ‖1‖", traces=away, y_scale="linear"),
                Panel(title="Conditioning of the whole map", x="step", y="κ", traces=kappas),
            ]
        ],
        caption="The diagonals leave 1 as soon as they may.",
    )
