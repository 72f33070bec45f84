"""Directions in the space of a network's weights that span a plane through a solution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

Parameters = Mapping[str, Tensor]
"""A tensor for each trained parameter, by name."""


def trained_parameters(network: nn.Module) -> dict[str, Tensor]:
    """Copies of the parameters that train."""
    return {name: tensor.detach().clone() for name, tensor in network.named_parameters() if tensor.requires_grad}


def norm(parameters: Parameters) -> float:
    """The Euclidean norm of all of them as one vector."""
    return float(torch.stack([tensor.double().square().sum() for tensor in parameters.values()]).sum().sqrt())


def random_direction(center: Parameters, generator: torch.Generator) -> dict[str, Tensor]:
    """A Gaussian direction over all parameters, as long as the solution (Nguyen, appendix E; Goodfellow et al. 2015).

    The paper says random and no more; as long as the solution makes the coordinates shares of its norm.
    """
    drawn = {name: torch.randn(tensor.shape, generator=generator) for name, tensor in center.items()}
    scale = norm(center) / norm(drawn)
    return {name: (scale * tensor).to(center[name]) for name, tensor in drawn.items()}


def filter_normalised(center: Parameters, generator: torch.Generator) -> dict[str, Tensor]:
    """A Gaussian direction each of whose filters is as long as the solution's (Li et al. 2018).

    A filter is what makes one output of a layer; biases and normalisation's parameters do not move.
    """
    direction = {}
    for name, parameter in center.items():
        if parameter.ndim < 2:
            direction[name] = torch.zeros_like(parameter)
            continue
        drawn = torch.randn(parameter.shape, generator=generator).to(parameter)
        lengths = [tensor.flatten(1).norm(dim=1) for tensor in (parameter, drawn)]
        scale = lengths[0] / lengths[1].clamp(min=1e-12)
        direction[name] = drawn * scale.view(-1, *[1] * (parameter.ndim - 1))
    return direction


def principal(
    center: Parameters, visited: Sequence[Parameters]
) -> tuple[dict[str, Tensor], dict[str, Tensor], Float[Tensor, "steps 2"], float]:
    """The two principal directions of a training path of earlier points about its end (Li et al. 2018).

    They are orthogonal, and scaled so that the farthest visited point has a coordinate of 1 in absolute value. With
    them come the visited points' coordinates, and the share of the path's squared length that lies in the plane.
    `ValueError` where fewer than two points differ from the end.
    """
    rows = torch.stack(
        [torch.cat([(point[name] - tensor).flatten().double() for name, tensor in center.items()]) for point in visited]
    )
    # Few rows and very many columns: the eigenvectors of the small Gram matrix give the directions.
    values, vectors = torch.linalg.eigh(rows @ rows.T)
    if len(visited) < 2 or values[-2] <= 1e-12 * values[-1]:
        raise ValueError("a plane needs two points that lie in different directions from the end")
    axes = (vectors[:, [-1, -2]].T @ rows) / values[[-1, -2]].sqrt()[:, None]
    coordinates = rows @ axes.T
    scale = float(coordinates.abs().max())
    fraction = float(values[[-1, -2]].sum() / values.sum())
    basis = []
    for axis in axes:
        parts = (scale * axis).split([tensor.numel() for tensor in center.values()])
        basis.append(
            {n: part.view_as(tensor).to(tensor) for (n, tensor), part in zip(center.items(), parts, strict=True)}
        )
    return basis[0], basis[1], coordinates / scale, fraction
