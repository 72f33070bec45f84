"""Initial weights, drawn from torch's global generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

TRUNCATED_DEVIATION = 0.8796256610342398
"""Standard deviation of a standard normal variable truncated to ±2."""


def _initialise(network: nn.Module, draw: Callable[[Tensor], object]) -> None:
    """Draw the weights of convolutions and linear layers, zero their biases; normalisation keeps torch's start."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            draw(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _he(weight: Tensor) -> None:
    """Gaussian of variance 2 / fan-in (He et al. 2015; Oyedotun, section 6.1)."""
    nn.init.kaiming_normal_(weight, nonlinearity="relu")


def _truncated(weight: Tensor, *, corrected: bool) -> None:
    """Gaussian of variance 2 / fan-in, truncated at two deviations (Nguyen, section 4).

    Truncation leaves 0.774 times that variance; ``corrected`` widens the Gaussian so that 2 / fan-in remains.
    """
    deviation = math.sqrt(2 / weight[0].numel()) / (TRUNCATED_DEVIATION if corrected else 1.0)
    nn.init.trunc_normal_(weight, std=deviation, a=-2 * deviation, b=2 * deviation)


INITIALIZATIONS: dict[str, Callable[[nn.Module], None]] = {
    "he": partial(_initialise, draw=_he),
    "truncated": partial(_initialise, draw=partial(_truncated, corrected=False)),
    "truncated_corrected": partial(_initialise, draw=partial(_truncated, corrected=True)),
    "xavier": partial(_initialise, draw=nn.init.xavier_uniform_),
}
"""The values of the option ``initialization``."""
