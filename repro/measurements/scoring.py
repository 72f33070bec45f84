"""What of a network's output is scored, and by which loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from repro.errors import UserError, first_line
from repro.networks.passing import described

Pick = Callable[[Any], Any] | str | int | None
"""Which part of what the network returns is scored: a function of it, a key, a place, or None for what is evident."""

Loss = Callable[[Any, Any], Tensor]
"""A loss of what the network returns (or of the part that is picked) and the labels: a tensor of one number."""

_EVIDENT = ("logits", "out", "scores")
_IGNORED = -100
"""The label that torch's cross-entropy passes over."""
_PROBABLE = 1e-2
"""How far from 1 the sum of a sample's probabilities may be: labels may be in half precision."""


def pick(output: Any, how: Pick) -> Any:
    """The part that is scored; `UserError` if there is no such part."""
    try:
        if callable(how):
            return how(output)
        if how is not None:
            by_key: Any = output  # a mapping, a list, a tuple
            return by_key[how] if isinstance(output, Mapping | list | tuple) else getattr(output, str(how))
    except (KeyError, IndexError, AttributeError, TypeError) as error:
        raise UserError(f"output={how!r} is not in what the network returns: {described(output)}") from error
    return output


def scores(output: Any, how: Pick) -> Tensor:
    """The tensor of scores: what is picked, or what is named logits, out or scores."""
    picked = pick(output, how)
    if not isinstance(picked, Tensor) and how is None:
        for name in _EVIDENT:
            value = picked.get(name) if isinstance(picked, Mapping) else getattr(picked, name, None)
            if isinstance(value, Tensor):
                return value
    if not isinstance(picked, Tensor):
        raise UserError(
            f"scores are one tensor, and the network returns {described(picked)}; pass output= (a key, a place or a "
            "function that picks it) or loss= (a function of what the network returns and the labels)"
        )
    return picked


def cross_entropy(output: Tensor, labels: Any) -> Tensor:
    """The mean cross-entropy, of classes on the second axis (images, segmentation) or the last (tokens).

    Labels are classes, or a probability for each. `UserError` if they are something else (a regression's targets,
    several classes at once), or both axes fit.
    """
    axes = _class_axes(output, labels) if isinstance(labels, Tensor) and output.is_floating_point() else []
    if len(axes) != 1:
        fits = "the cross-entropy of two axes fits" if axes else "no cross-entropy fits"
        raise UserError(
            f"{fits}: the network returns {described(output)}, the labels are {described(labels)}; "
            "pass loss= (any function of the output and the labels)"
        )
    output = (output.float() if output.dtype.itemsize < 4 else output).movedim(axes[0], 1)
    if labels.is_floating_point():
        return F.cross_entropy(output, labels.to(output.dtype).movedim(axes[0], 1))
    counted = labels[labels != _IGNORED]
    least, largest = (int(bound) for bound in counted.aminmax()) if counted.numel() else (0, 0)
    if largest >= output.shape[1] or least < 0:
        raise UserError(f"the labels go from {least} to {largest}; allowed: 0 to {output.shape[1] - 1}")
    return F.cross_entropy(output, labels.long())


def _class_axes(output: Tensor, labels: Tensor) -> list[int]:
    """The axes that may be the classes': of labels that lack it, or that are probabilities along it."""
    shape = output.shape
    axes = [axis for axis in dict.fromkeys((1, output.ndim - 1)) if 0 < axis < output.ndim and shape[axis] > 1]
    if not labels.is_floating_point():
        numbers = not labels.is_complex() and labels.dtype != torch.bool
        return [axis for axis in axes if numbers and shape[:axis] + shape[axis + 1 :] == labels.shape]
    if shape != labels.shape or not bool((labels >= 0).all()):
        return []
    return [axis for axis in axes if bool(((labels.sum(axis, dtype=torch.float64) - 1).abs() < _PROBABLE).all())]


def loss_of(output: Any, labels: Any, how: Pick, loss: Loss | None) -> Tensor:
    """The loss of what the network returns; `UserError` if it has none."""
    if loss is None:
        return cross_entropy(scores(output, how), labels)
    picked = pick(output, how)
    try:
        value = loss(picked, labels)
    except Exception as error:
        raise UserError(
            f"the loss ({getattr(loss, '__name__', type(loss).__name__)}) refuses what the network returns "
            f"({described(picked)}) and the labels ({described(labels)}) with {type(error).__name__}: "
            f"{first_line(error)}; pass loss= (any function of the two), and output= for a part of what is returned"
        ) from error
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise UserError(f"loss= returns {described(value)}; it has to return a tensor of one number")
    return value.squeeze() if value.ndim else value
