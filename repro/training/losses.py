"""The losses that a classifier can be trained with; each a mean over the images of a batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

Loss = Callable[[Float[Tensor, "batch classes"], Int[Tensor, " batch"]], Float[Tensor, ""]]


def square(scores: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """½ ‖G − Y‖² with one-hot Y (Nguyen, Eq. 14), divided by the number of images."""
    targets = torch.zeros_like(scores).scatter(1, labels[:, None], 1)  # F.one_hot looks at every label on the host
    return (scores - targets).square().sum() / (2 * len(labels))


def hinge(scores: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Multi-class hinge loss: max over the other classes j of max(0, 1 − (G_y − G_j)) (Nguyen, appendix C)."""
    own = scores.gather(1, labels[:, None])
    margins = (1 - own + scores).scatter(1, labels[:, None], -torch.inf)
    return margins.amax(1).clamp(min=0).mean()


LOSSES: dict[str, Loss] = {"cross_entropy": F.cross_entropy, "square": square, "hinge": hinge}
"""The values of the option ``training.loss``; the first is Nguyen's Eq. 2."""
