"""How many of a parameter's numbers act, where slices of it do."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

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
