"""Two remedies in Oyedotun's section 6.5: nearly equal singular values, and the identity inside the weights."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from repro.figures.panels import Panel, Trace
from repro.theory.oyedotun.information import with_singular_values
from repro.theory.real_networks import seeded
from repro.theory.result import Case, Result

_SIZE, _LAYERS, _STEPS = 16, 100, 300


def bound_on_product(largest_ratio: float, layers: int) -> float:
    """κ of a product is at most the product of κ: (1 + δ)^L for layers with σmax/σmin ≤ 1 + δ."""
    return largest_ratio**layers


def conditions_of_products(ratio: float, layers: int, n: int, generator: np.random.Generator) -> list[float]:
    """κ of products of 1, 2, … random layers whose singular values lie evenly between 1 and `ratio`."""
    product, found = np.eye(n), []
    for _ in range(layers):
        layer, _ = with_singular_values(np.linspace(1.0, ratio, n), generator)
        product = layer @ product
        product /= np.linalg.norm(product, 2)
        found.append(float(np.linalg.cond(product)))
    return found


def section_6_5_b(seed: int) -> Result:
    """κ of deep products of layers whose largest singular value is little larger than the others."""
    generator = np.random.default_rng(seed)
    ratios = (1.02, 1.1, 2.0)
    curves = {f"σmax/σmin = {ratio:g}": conditions_of_products(ratio, _LAYERS, _SIZE, generator) for ratio in ratios}
    gaussian: list[float] = []
    product = np.eye(_SIZE)
    for _ in range(_LAYERS):
        product = generator.normal(size=(_SIZE, _SIZE)) @ product
        product /= np.linalg.norm(product, 2)
        gaussian.append(float(np.linalg.cond(product)))
    curves["Gaussian"] = gaussian
    last = {name: values[-1] for name, values in curves.items()}
    cases = [
        Case(
            setting=f"σmax/σmin = 1.02 in each of {_LAYERS} layers",
            conditions="complete",
            holds=last["σmax/σmin = 1.02"] <= bound_on_product(1.02, _LAYERS) < 10,
            found=f"κ = {last['σmax/σmin = 1.02']:.2f} at depth {_LAYERS}, at most 1.02^{_LAYERS} = "
            f"{bound_on_product(1.02, _LAYERS):.1f}",
        ),
        Case(
            setting="σmax/σmin = 2",
            conditions="beside",
            holds=last["σmax/σmin = 2"] < 10,
            found=f"κ = {last['σmax/σmin = 2']:.1e}",
        ),
        Case(
            setting="Gaussian layers",
            conditions="beside",
            holds=last["Gaussian"] < 10,
            found=f"κ = {last['Gaussian']:.1e} (float64 ends at 1e16)",
        ),
    ]
    depth = np.arange(1, _LAYERS + 1, dtype=float)
    return Result(
        computed=f"κ of products of {_LAYERS} random layers with given singular values.",
        cases=cases,
        remark="This is the linear map alone. Whether a PlainNet that is regularised so then trains is the study "
        "oyedotun-regularised (--training.spectral_penalty).",
        numbers={"kappa_at_depth_100": last},
        figures=[
            [
                Panel(
                    title="Conditioning of the product",
                    x="depth (layers)",
                    y="κ",
                    traces=[Trace(label=name, x=depth, y=np.array(values)) for name, values in curves.items()],
                )
            ]
        ],
        caption="How nearly equal the singular values of a layer must be for the product to stay well-conditioned.",
    )


class LinearDirac(nn.Module):
    """h = Π (Wˡ + diag(aˡ)) x (Eq. 28 and 29) with small W, square layers."""

    def __init__(self, layers: int, n: int, *, held: bool) -> None:
        super().__init__()
        self.w = nn.Parameter(0.1 * torch.randn(layers, n, n, dtype=torch.float64) / n**0.5)
        self.a = nn.Parameter(torch.ones(layers, n, dtype=torch.float64), requires_grad=not held)

    def forward(self, x: Float[Tensor, "n samples"]) -> Float[Tensor, "n samples"]:
        """The output for a column each."""
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


def section_6_5_c(seed: int) -> Result:
    """A linear DiracNet of 20 layers fitted to a random map, with a free and with a held at 1, beside ResNet's sum."""
    layers, rate = 20, 2e-3
    away: dict[str, list[float]] = {}
    kappas: dict[str, list[float]] = {}
    start = 0.0
    losses: dict[str, float] = {}
    for name, held in (("a free", False), ("a held at 1", True)):
        with seeded(seed):
            network = LinearDirac(layers, _SIZE, held=held)
            x = torch.randn(_SIZE, 64, dtype=torch.float64)
            y = torch.randn(_SIZE, _SIZE, dtype=torch.float64) @ x / _SIZE**0.5
        residual_form = x
        for w in network.w.detach():
            residual_form = w @ residual_form + residual_form
        with torch.no_grad():
            start = max(start, float((network(x) - residual_form).norm() / residual_form.norm()))
        optimizer = torch.optim.SGD([each for each in network.parameters() if each.requires_grad], lr=rate)
        away[name], kappas[name] = [network.away()], [network.condition()]
        for _ in range(_STEPS):
            optimizer.zero_grad()
            loss = (network(x) - y).square().mean()
            loss.backward()
            optimizer.step()
            away[name].append(network.away())
            kappas[name].append(network.condition())
        losses[name] = loss.item()
    cases = [
        Case(
            setting="before training, a = 1",
            conditions="complete",
            holds=start < 1e-12,
            found=f"equals ResNet's x + Wx, layer by layer, to {start:.0e}",
        ),
        Case(
            setting=f"after {_STEPS} steps of gradient descent with a free",
            conditions="complete",
            holds=away["a free"][-1] > 1e-3,
            found=f"‖a − 1‖ / ‖1‖ = {away['a free'][-1]:.3f}",
        ),
        Case(
            setting="“far from x, and thus optimization becomes difficult”: a free fits worse than a held",
            conditions="as stated",
            holds=losses["a free"] > losses["a held at 1"],
            found=f"loss {losses['a free']:.4f} (free), {losses['a held at 1']:.4f} (held); κ of the map "
            f"{kappas['a free'][-1]:.3g} and {kappas['a held at 1'][-1]:.3g}",
        ),
    ]
    steps = np.arange(_STEPS + 1, dtype=float)
    return Result(
        computed=f"Gradient descent on a linear DiracNet of {layers} layers towards a random linear map.",
        cases=cases,
        under="“does not stay one” alone: here the free diagonal makes the fit no harder",
        remark="The study oyedotun-diracnet trains networks of 110 layers with a free and with a held at 1.",
        numbers={"loss": losses, "distance": {k: v[-1] for k, v in away.items()}},
        figures=[
            [
                Panel(
                    title="How far the diagonals move",
                    x="step",
                    y="‖a − 1‖ / ‖1‖",
                    traces=[Trace(label=k, x=steps, y=np.array(v)) for k, v in away.items()],
                    y_scale="linear",
                ),
                Panel(
                    title="Conditioning of the whole map",
                    x="step",
                    y="κ",
                    traces=[Trace(label=k, x=steps, y=np.array(v)) for k, v in kappas.items()],
                ),
            ]
        ],
        caption="The diagonals leave 1 as soon as they may.",
    )
