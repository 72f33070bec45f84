"""The landscape without what makes it quick."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from repro.landscape.directions import trained_parameters
from repro.landscape.plane import Batch, Loss, Plane
from repro.networks.preserve_state import preserve_state


def point_by_point(
    network: nn.Module, plane: Plane, coordinates: Float[Tensor, "points 2"], batches: Sequence[Batch], *, loss: Loss
) -> Float[Tensor, "points 2"]:
    """What `evaluate` computes, by loading the weights of each point in turn."""
    values = []
    own = trained_parameters(network)
    samples = sum(len(labels) for _, labels in batches)
    with torch.no_grad(), preserve_state(network):
        network.eval()
        for a, b in coordinates.tolist():
            network.load_state_dict(plane.at(a, b), strict=False)
            point = torch.zeros(2, dtype=torch.float64)
            for images, labels in batches:
                scores = network(images)
                wrong = (scores.argmax(1) != labels).double().mean()
                point += torch.stack([loss(scores, labels).double(), wrong]).cpu() * (len(labels) / samples)
            values.append(point)
        network.load_state_dict(own, strict=False)
    return torch.stack(values)
