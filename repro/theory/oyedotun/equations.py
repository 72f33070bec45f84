"""The equations of the pass back and of the update beside automatic differentiation (Oyedotun, Eq. 23 to 26)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from repro.figures.panels import Panel, Trace
from repro.networks import create_network, weight_layers
from repro.spectra import conditioning
from repro.theory.oyedotun.backpropagation import Backward, backward, ranks
from repro.theory.real_networks import digits, seeded
from repro.theory.result import Case, Result
from repro.theory.statement import STATEMENTS

_NEEDS = STATEMENTS["oyedotun-equations-23-26"].conditions
_SIDE = 10
"""All sides equal, so that the printed equations can be evaluated at all."""
_STEPS, _BATCH, _LARGE = 5, 20, 10.0


def first_steps(seed: int) -> tuple[Float[np.ndarray, "steps layers"], list[tuple[Tensor, Tensor]]]:
    """‖ΔW‖ / ‖W(t−1)‖ of every weight layer of a PlainNet-110 in its first steps, and layer 1's ΔW and W(t).

    The paper's weight decay, momentum 0.9 and initialisation; width 8, learning rate 0.01, batches of 20 digits.
    """
    images, labels = digits(_BATCH * _STEPS)
    ratios, first = [], []
    with seeded(seed):
        network = create_network("plainnet110", width=8, in_channels=1, image_size=28)
        weights = [network.get_parameter(f"{layer.name}.weight") for layer in weight_layers(network)]
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
        for batch, classes in zip(images.split(_BATCH), labels.split(_BATCH), strict=True):
            before = [weight.detach().clone() for weight in weights]
            optimizer.zero_grad()
            F.cross_entropy(network(batch), classes).backward()
            optimizer.step()
            changes = [weight.detach() - old for weight, old in zip(weights, before, strict=True)]
            ratios.append([float(new.norm() / old.norm()) for new, old in zip(changes, before, strict=True)])
            first.append((changes[0].flatten(1), weights[0].detach().flatten(1).clone()))
    return np.array(ratios), first


def approximation_26(update: Float[Tensor, "out in"], weight: Float[Tensor, "out in"]) -> float:
    """‖W − ΔW‖ / ‖W‖."""
    return float((weight - update).norm() / weight.norm())


def _off(value: Tensor, right: Tensor) -> float:
    return float((value - right).norm() / right.norm())


def _of_gradients(passed: Backward, weights: Sequence[Tensor]) -> list[Case]:
    """Eq. 23 and 24, as usual and as printed, in the middle of a linear network."""
    error, after, h = passed.errors[1], passed.errors[2], passed.representations[2]
    usual = max(_off(weights[2].T @ after, error), _off(after @ h.T, passed.gradients[2]))
    passed_back = [weights[2] @ after, weights[2].T @ after]
    printed = min(_off(product, error) for back in passed_back for product in (h @ back, h * back))
    return [
        Case(
            setting="linear units: Δˡ = (Wˡ⁺¹)ᵀ Δˡ⁺¹ and ∂E/∂W = ΔHᵀ",
            holds=usual < 1e-12,
            found=f"agree with automatic differentiation to {usual:.0e}",
        ),
        Case(
            setting="as printed, Δˡ = H(WΔ): a matrix product (all sides equal, so that the shapes fit) or entry by "
            "entry, with W or its transpose",
            drops=[_NEEDS["form"]],
            holds=printed < 1e-6,
            found=f"the nearest of these four differs by {100 * printed:.0f} % of the gradient",
        ),
        Case(
            setting="as printed, ΔW = ηΔH without transpose",
            drops=[_NEEDS["form"]],
            holds=_off(after @ h, passed.gradients[2]) < 1e-6,
            found=f"differs by {100 * _off(after @ h, passed.gradients[2]):.0f} %",
        ),
    ]


def _of_updates(
    sizes: Float[np.ndarray, "steps layers"], first: Sequence[tuple[Tensor, Tensor]], generator: torch.Generator
) -> list[Case]:
    """Eq. 26 where updates are large, and where they are not."""
    steps = np.flatnonzero(sizes[:, 0] >= _LARGE).tolist()
    off = [approximation_26(*first[step]) for step in steps]
    kappas = conditioning([first[steps[-1]][0], first[steps[-1]][1]]).condition_number if len(steps) else [np.nan] * 2
    others = np.median(1 / (1 + sizes[:, 1:]))
    u, v = torch.randn(2, _SIDE, generator=generator, dtype=torch.float64)
    update = -0.1 * torch.outer(u, v)
    update_rank, weight_rank = ranks([update, torch.eye(_SIDE, dtype=torch.float64) + update])
    return [
        Case(
            setting=f"W(t) ≈ ΔW(t), layer 1 of a PlainNet-110, steps {', '.join(str(step + 1) for step in steps)} of "
            f"{_STEPS}, where ‖ΔW‖ ≥ {_LARGE:g} ‖W(t−1)‖",
            holds=len(off) > 0 and max(off) < 0.15,
            found=f"‖W − ΔW‖ / ‖W‖ is {min(off, default=np.nan):.1g} to {max(off, default=np.nan):.1g}; after the last "
            f"of them κ is {float(kappas[0]):.3g} for ΔW and {float(kappas[1]):.3g} for W",
        ),
        Case(
            setting=f"the same for the other {sizes.shape[1] - 1} layers and for all {_STEPS} steps",
            drops=[_NEEDS["large"]],
            holds=bool(others < 0.15),
            found=f"an update is as large as ‖W(t−1)‖ in {int((sizes[:, 1:] >= 1).sum())} of {sizes[:, 1:].size} "
            f"cases, at the median {np.median(sizes[:, 1:]):.1g} of it",
        ),
        Case(
            setting="a singular update of the identity, a tenth as large",
            drops=[_NEEDS["large"]],
            holds=weight_rank < _SIDE,
            found=f"an update of rank {update_rank} leaves W of rank {weight_rank} of {_SIDE}",
        ),
    ]


def equations_23_to_26(seed: int) -> Result:
    """The equations beside automatic differentiation, and updates beside weights at the start of a training."""
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.randn(_SIDE, _SIDE, generator=generator, dtype=torch.float64) / _SIDE**0.5 for _ in range(3)]
    inputs = torch.randn(_SIDE, _SIDE, generator=generator, dtype=torch.float64)
    passed = backward(weights, inputs, torch.arange(_SIDE), skip=False, relu=False)
    sizes, first = first_steps(seed)
    layers = np.arange(1, sizes.shape[1] + 1, dtype=float)
    return Result(
        computed="Gradients of a small linear network by automatic differentiation, beside the printed equations; "
        "updates of a PlainNet-110 in its first steps, beside its weights.",
        cases=[*_of_gradients(passed, weights), *_of_updates(sizes, first, generator)],
        remark="The paper says of Eq. 23 that the gradient is “of the form”. The direction that it needs most "
        "survives: rank ΔHᵀ ≤ rank H, so that a collapsed H makes a singular gradient. Where ‖ΔW‖ ≥ 10 ‖W(t−1)‖, Eq. "
        "26 is off by a ninth at most, by arithmetic: what the experiment adds is that such steps occur, in layer 1, "
        "which explodes, and hardly anywhere else.",
        numbers={"update_over_weight_in_layer_1": sizes[:, 0].tolist()},
        figures=[
            [
                Panel(
                    title="PlainNet-110, its first steps",
                    x="layer, from the input",
                    y="‖ΔW‖ / ‖W(t−1)‖",
                    traces=[Trace(label=f"step {t}", x=layers, y=values) for t, values in enumerate(sizes, 1)],
                    reference=1.0,
                )
            ]
        ],
        caption="Over the dotted line an update is larger than the weights that it changes.",
    )
