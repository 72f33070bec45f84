"""Networks by name, and their weight layers in order. Importing this package does not import torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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

_NEEDS_TORCH = {"create_network": "create", "weight_layers": "layers", "WeightLayer": "layers", "survey": "layers"}


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is first asked for."""
    if name not in _NEEDS_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_NEEDS_TORCH[name]}"), name)
