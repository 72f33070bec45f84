"""Fixup: residual networks without normalisation (Zhang, Dauphin and Ma 2019, arXiv:1901.09321)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

ROOT = math.sqrt(0.1)
"""Scalars train at a tenth of the rate, as in the authors' code: each is this times its parameter."""


class Shift(nn.Module):
    """An image plus one number that is learned, from 0."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(1))

    def forward(self, h: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """The sum."""
        return h + ROOT * self.shift


@torch.no_grad()
def shrink_paths(paths: Sequence[nn.Module], head: nn.Linear) -> None:
    """Rules 1 and 2: zero the last layer of every path and of the network, scale a path's others by L^(-1/(2m - 2)).

    There are L paths of m convolutions each, drawn by a standard method.
    """
    for path in paths:
        *others, last = (module for module in path.modules() if isinstance(module, nn.Conv2d))
        for convolution in others:
            convolution.weight.mul_(len(paths) ** (-1 / (2 * len(others))))
        nn.init.zeros_(last.weight)
    nn.init.zeros_(head.weight)
