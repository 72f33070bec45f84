"""Initial weights, drawn from torch's global generator."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def he(network: nn.Module) -> None:
    """Gaussian weights of variance 2 / fan-in in convolutions and linear layers, zero biases (He et al. 2015).

    Oyedotun, section 6.1. Normalisation keeps torch's start, weight 1 and bias 0.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


INITIALIZATIONS: dict[str, Callable[[nn.Module], None]] = {"he": he}
"""The values of the option ``initialization``."""
