"""Networks by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from repro.errors import UserError
from repro.importing import load
from repro.machine import available_memory
from repro.networks import external as foreign
from repro.networks.naming import find
from repro.networks.options import parse_options

_USUAL = 128
"""Width, or a tenth of the depth, up to which every network fits: looking costs up to 0.2 s."""


def create_network(name: str, **options: Any) -> nn.Module:
    """Build a network. Its weights are drawn from torch's global generator, so seed that first.

    Args:
        name: A family of `repro.networks.NETWORKS` and its depth (``resnet110``), ``timm/NAME``, or
            ``package.module:Name`` for your own class or function.
        **options: The fields of `repro.networks.Options`, by name.

    Returns:
        A module that maps images (batch x in_channels x image_size x image_size) to logits (batch x num_classes).

    Raises:
        UserError: The name or an option is unknown, or a network of timm or your own cannot be imported, downloaded or
            called.

    Example:
        >>> create_network("resnext29", width=8, groups=2)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    parsed = parse_options(options)
    if foreign.is_foreign(name):
        foreign.check(name, parsed)
        return foreign.create(name, parsed)
    family, depth, spec = find(name, parsed)
    build: Callable[[], nn.Module] = partial(load(family.builder), spec, parsed)
    if max(parsed.width or 0, parsed.groups or 0, *(parsed.hidden or ()), (depth or 0) // 10) > _USUAL:
        _require_memory(name, build)
    return build()


def _require_memory(name: str, build: Callable[[], nn.Module]) -> None:
    """Refuse a network that does not fit into memory before any is taken: it is first built without memory."""
    generator = torch.get_rng_state()
    try:
        with torch.device("meta"):
            needed: float = sum(parameter.nbytes for parameter in build().parameters())
    except (RuntimeError, OverflowError, TypeError):  # sizes that 64 bits do not hold
        needed = math.inf
    finally:
        torch.set_rng_state(generator)
    if needed > (free := available_memory()):
        size = f"{needed / 1e9:,.0f} GB" if math.isfinite(needed) else "more than 64-bit numbers can say"
        raise UserError(
            f"the weights of this {name} alone take {size} of memory, and {free / 1e9:,.0f} GB are free; make it "
            "narrower or less deep"
        )
