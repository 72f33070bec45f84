"""Networks by name."""

from __future__ import annotations

from typing import Any

from torch import nn

from repro.importing import load
from repro.networks import external as foreign
from repro.networks.naming import find
from repro.networks.options import parse_options


def create_network(name: str, **options: Any) -> nn.Module:
    """Build a network, initialised from torch's global generator (seed it first).

    Args:
        name: A family of `repro.networks.NETWORKS` and its depth (``resnet110``), ``timm/NAME``, or
            ``package.module:Name`` for a class or function of one's own.
        **options: The fields of `repro.networks.Options`, by name.

    Returns:
        A module from images, batch x in_channels x image_size x image_size, to logits, batch x num_classes.

    Raises:
        UserError: As `repro.networks.check`; also where a foreign network cannot be imported, fetched or called.
    """
    parsed = parse_options(options)
    if foreign.is_foreign(name):
        foreign.check(name, parsed)
        return foreign.create(name, parsed)
    family, depth = find(name, parsed)
    network: nn.Module = load(family.builder)(depth, parsed)
    return network
