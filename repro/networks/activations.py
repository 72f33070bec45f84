"""Activations by name. The names are free of torch; the modules are made on request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from repro.importing import load

if TYPE_CHECKING:
    from torch import nn

    from repro.networks.options import Options

Activation = Literal["relu", "sigmoid", "softplus", "tanh", "identity"]

ACTIVATIONS: dict[Activation, str] = {
    "relu": "torch.nn:ReLU",
    "sigmoid": "torch.nn:Sigmoid",
    "softplus": "torch.nn:Softplus",
    "tanh": "torch.nn:Tanh",
    "identity": "torch.nn:Identity",
}
"""Name to the import path of the module's class. Only softplus takes an argument, gamma."""


def create_activation(options: Options) -> nn.Module:
    """A new module of the options' activation; softplus is (1/gamma) log(1 + exp(gamma t)) (Nguyen, section 4).

    It never works in place: hooks keep tensors that layers read and wrote, and those must stay as they were.
    """
    factory = load(ACTIVATIONS[options.activation])
    module: nn.Module = factory(beta=options.gamma) if options.activation == "softplus" else factory()
    return module
