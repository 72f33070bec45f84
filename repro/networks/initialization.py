"""Initial weights, drawn from torch's global generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from torch import nn

from repro.networks.options import Options

TRUNCATED_DEVIATION = 0.8796256610342398
"""Standard deviation of a standard normal variable truncated to ±2."""

Layer = nn.Conv2d | nn.Linear


def gain(options: Options) -> float:
    """σ_w at which signals of an orthogonal network neither grow nor vanish, by the activation behind its layers.

    √(2 / (1 + slope²)) by the activation's slope below 0, so √2 for ReLU and softplus; 1 for the others: exact for
    identity, the limit of small signals for tanh (Xiao et al. 2018: critical for σ_b to 0).
    """
    slope = {"relu": 0.0, "softplus": 0.0, "leaky_relu": options.slope}.get(options.activation, 1.0)
    return math.sqrt(2 / (1 + slope**2))


def initialise(network: nn.Module, name: str, *, gain: float = 1.0) -> None:
    """Draw the weights of convolutions and linear layers, zero their biases; normalisation keeps torch's start.

    The gain is that of orthogonal layers.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            INITIALIZATIONS[name](module, gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _he(layer: Layer, _gain: float) -> None:
    """Gaussian of variance 2 / fan-in (He et al. 2015; Oyedotun, section 6.1)."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")


def _truncated(layer: Layer, _gain: float, *, corrected: bool) -> None:
    """Gaussian of variance 2 / fan-in, truncated at two deviations (Nguyen, section 4).

    Truncation leaves 0.774 times that variance; ``corrected`` widens the Gaussian so that 2 / fan-in remains.
    """
    deviation = math.sqrt(2 / layer.weight[0].numel()) / (TRUNCATED_DEVIATION if corrected else 1.0)
    nn.init.trunc_normal_(layer.weight, std=deviation, a=-2 * deviation, b=2 * deviation)


def _xavier(layer: Layer, _gain: float) -> None:
    """Uniform of variance 2 / (fan-in + fan-out) (Glorot and Bengio 2010)."""
    nn.init.xavier_uniform_(layer.weight)


def _orthogonal(layer: Layer, gain: float) -> None:
    """The gain times orthonormal rows (or columns, if there are more rows) of the kernel as an output x rest matrix."""
    for part in layer.weight.detach().chunk(getattr(layer, "groups", 1)):
        nn.init.orthogonal_(part, gain)


def _delta_orthogonal(layer: Layer, gain: float) -> None:
    """The same at the kernel's centre, with zeros around it (Xiao et al. 2018: delta-orthogonal).

    A layer that does not narrow then keeps the norm of every pixel that it reads, times the gain; of stride 2, of every
    second one.
    """
    if isinstance(layer, nn.Linear):
        _orthogonal(layer, gain)
        return
    nn.init.zeros_(layer.weight)
    rows, columns = ((side - 1) // 2 for side in layer.kernel_size)
    for part in layer.weight.detach().chunk(layer.groups):
        nn.init.orthogonal_(part[:, :, rows, columns], gain)


INITIALIZATIONS: dict[str, Callable[[Layer, float], None]] = {
    "he": _he,
    "truncated": partial(_truncated, corrected=False),
    "truncated_corrected": partial(_truncated, corrected=True),
    "xavier": _xavier,
    "orthogonal": _orthogonal,
    "delta_orthogonal": _delta_orthogonal,
}
"""The values of the option ``initialization``."""
