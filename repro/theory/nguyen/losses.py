"""Nguyen's losses of score matrices in float64: accurate where they are tiny, and their slopes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

Scores = Float[Tensor, "samples classes"]
Labels = Int[Tensor, " samples"]


def one_hot(labels: Labels, classes: int) -> Scores:
    """Y: the labels as rows with a single one."""
    return F.one_hot(labels, classes).double()


def log_odds(scores: Scores, labels: Labels) -> Float[Tensor, " samples"]:
    """Log Σ_{k≠y} exp(G_k − G_y)."""
    own = scores.gather(1, labels[:, None])
    return (scores - own).scatter(1, labels[:, None], -torch.inf).logsumexp(1)


def cross_entropy(scores: Scores, labels: Labels) -> Float[Tensor, ""]:
    """Φ (Eq. 2), the mean of log(1 + Σ_{k≠y} exp(G_k − G_y)): a loss of 1e-300 is still one, not 0."""
    return F.softplus(log_odds(scores, labels), threshold=700).mean()


def slope_along_targets(scores: Scores, labels: Labels) -> Float[Tensor, ""]:
    """dΦ/ds of the cross-entropy of G + sY: −(1/N) Σ (1 − p_y), below 0 everywhere."""
    return -torch.sigmoid(log_odds(scores, labels)).mean()


def curvature_along_targets(scores: Scores, labels: Labels) -> Float[Tensor, ""]:
    """d²Φ/ds² of the same: (1/N) Σ p_y (1 − p_y), above 0 everywhere."""
    odds = log_odds(scores, labels)
    return (torch.sigmoid(odds) * torch.sigmoid(-odds)).mean()


def square(scores: Scores, labels: Labels) -> Float[Tensor, ""]:
    """½ ‖G − Y‖² (Eq. 14), as the paper has it: a sum over samples."""
    return (scores - one_hot(labels, scores.shape[1])).square().sum() / 2


def hinge(scores: Scores, labels: Labels) -> Float[Tensor, ""]:
    """The mean of max over j ≠ y of max(0, 1 − (G_y − G_j)) (appendix C)."""
    own = scores.gather(1, labels[:, None])
    return (1 + scores - own).scatter(1, labels[:, None], -torch.inf).amax(1).clamp(min=0).mean()


def errors(scores: Scores, labels: Labels) -> int:
    """Samples whose own class does not have the strictly largest score."""
    return int((log_margin(scores, labels) <= 0).sum())


def log_margin(scores: Scores, labels: Labels) -> Float[Tensor, " samples"]:
    """G_y − max_{k≠y} G_k."""
    own = scores.gather(1, labels[:, None]).squeeze(1)
    return own - scores.scatter(1, labels[:, None], -torch.inf).amax(1)
