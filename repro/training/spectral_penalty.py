"""Regularising singular values: no direction of a layer much stronger than the others (Oyedotun, 6.5 (b))."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from repro.networks.families.dirac import DiracConv2d


def spread(weights: Float[Tensor, "layers rows columns"]) -> Float[Tensor, " layers"]:
    """How unequal each matrix's singular values are: the squared coefficient of variation of σ².

    With the Gram matrix G of the n shorter rows, ‖G / (tr G / n) − I‖² / n = n · Σσ⁴ / (Σσ²)² − 1. It is 0 exactly
    where all n singular values are equal, n − 1 where all but one vanish, and does not change if the matrix is scaled:
    it says nothing against large weights, only against some directions being larger than others. A matrix of zeros
    gives NaN.
    """
    short = weights if weights.shape[1] <= weights.shape[2] else weights.mT
    gram = short @ short.mT
    side = gram.shape[1]
    trace = gram.diagonal(dim1=1, dim2=2).sum(1)
    return side * gram.square().sum((1, 2)) / trace.square() - 1


def weight_matrices(network: nn.Module) -> list[Tensor]:
    """The trained weights of convolutions (as they act, for a DiracNet) and linear layers, out × everything else."""
    modules = [module for module in network.modules() if isinstance(module, nn.modules.conv._ConvNd | nn.Linear)]
    return [
        (module.effective_weight() if isinstance(module, DiracConv2d) else module.weight).flatten(1)
        for module in modules
        if module.weight.requires_grad
    ]


def total_spread(matrices: Iterable[Tensor]) -> Float[Tensor, ""]:
    """The sum over matrices of Σ (σ² − m)² / m with m the mean of σ², which counts as a constant in the gradient.

    That is `spread` times Σσ². So every σ is drawn towards √m at a relative rate of 4 (σ²/m − 1), whatever the size
    and scale of the matrix; the gradient of `spread` itself fades as 1 / Σσ² in wide and in growing layers.
    """
    groups: defaultdict[torch.Size, list[Tensor]] = defaultdict(list)
    for matrix in matrices:
        groups[matrix.shape].append(matrix)
    spreads = []
    for group in groups.values():
        stacked = torch.stack(group)
        spreads.append((spread(stacked) * stacked.detach().square().sum((1, 2))).sum())
    return torch.stack(spreads).sum()
