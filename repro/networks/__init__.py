"""Networks by name, and their weight layers in order. Importing this package does not import torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repro.importing import lazily
from repro.networks.activations import ACTIVATIONS
from repro.networks.family import Depths, Family
from repro.networks.naming import check
from repro.networks.options import Options
from repro.networks.registry import NETWORKS

if TYPE_CHECKING:
    from repro.networks.create import create_network
    from repro.networks.layers import survey, weight_layers
    from repro.networks.sites.weight_layer import WeightLayer

__all__ = [
    "ACTIVATIONS",
    "NETWORKS",
    "Depths",
    "Family",
    "Options",
    "WeightLayer",
    "check",
    "create_network",
    "survey",
    "weight_layers",
]

__getattr__ = lazily(
    __name__, {"create_network": "create", "weight_layers": "layers", "WeightLayer": "layers", "survey": "layers"}
)
