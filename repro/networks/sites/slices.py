"""How many of a parameter's numbers act, where slices of it do."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from repro.networks.sites.parameters import address

View = tuple[tuple[int, ...], tuple[int, ...], int]
"""Shape, strides and offset of a part of a parameter."""


def acting(uses: Iterable[tuple[nn.Parameter, View | None]]) -> dict[int, int]:
    """How many numbers act of each parameter of which only parts act (None: the whole), by its identity."""
    masks: dict[int, torch.Tensor] = {}
    whole: set[int] = set()
    for parameter, view in uses:
        if view is None:
            whole.add(id(parameter))
            continue
        if id(parameter) not in masks:
            like = torch.empty_strided(parameter.shape, parameter.stride(), dtype=torch.bool, device="cpu")
            masks[id(parameter)] = like.fill_(0)
        masks[id(parameter)].as_strided(*view).fill_(1)
    return {number: int(mask.sum()) for number, mask in masks.items() if number not in whole}


def overlapping(parameters: Iterable[nn.Parameter]) -> set[int]:
    """Identities of parameters that lie where another of them does, as one that was made of its transpose."""
    places = []
    for parameter in {id(each): each for each in parameters}.values():
        storage = address(parameter)
        if not storage or not parameter.numel():
            continue
        length = 1 + sum((size - 1) * stride for size, stride in zip(parameter.shape, parameter.stride(), strict=True))
        start = storage + parameter.storage_offset() * parameter.itemsize
        places.append((int(start), int(start + length * parameter.itemsize), id(parameter)))
    found: set[int] = set()
    end = last = 0
    for start, stop, number in sorted(places):
        if start < end:
            found |= {last, number}
        if stop > end:
            end, last = stop, number
    return found
