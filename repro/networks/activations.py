"""Activations by name. The names are free of torch; the modules are made on request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from repro.importing import load

if TYPE_CHECKING:
    from torch import nn

    from repro.networks.options import Options

Activation = Literal["relu", "leaky_relu", "sigmoid", "softplus", "tanh", "identity"]

ACTIVATIONS: dict[Activation, str] = {
    "relu": "torch.nn:ReLU",
    "leaky_relu": "torch.nn:LeakyReLU",
    "sigmoid": "torch.nn:Sigmoid",
    "softplus": "torch.nn:Softplus",
    "tanh": "torch.nn:Tanh",
    "identity": "torch.nn:Identity",
}
"""Name to the import path of the module's class."""


def create_activation(options: Options) -> nn.Module:
    """A new module of the options' activation: softplus with their gamma, leaky_relu with their slope.

    It never works in place: hooks keep tensors that layers read and wrote, and those must stay as they were.
    """
    arguments = {"softplus": {"beta": options.gamma}, "leaky_relu": {"negative_slope": options.slope}}
    module: nn.Module = load(ACTIVATIONS[options.activation])(**arguments.get(options.activation, {}))
    return module
