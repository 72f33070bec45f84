"""What of a network's output is scored, and by which loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from repro.errors import UserError, first_line
from repro.networks.passing import described

Pick = Callable[[Any], Any] | str | int | None
"""Which part of what the network returns is scored: a function of it, a key, a place, or None for what is evident."""

Loss = Callable[[Any, Any], Tensor]
"""A loss of what the network returns (or of the part that is picked) and the labels: a tensor of one number."""

_EVIDENT = ("logits", "out", "scores")


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
    """The mean cross-entropy, of classes on the second axis (images, segmentation) or the last (tokens)."""
    fits = isinstance(labels, Tensor) and output.is_floating_point() and output.ndim > 1
    if fits and output.dtype.itemsize < 4:
        output = output.float()
    if fits and not labels.is_floating_point() and output.ndim == labels.ndim + 1 and len(output) == len(labels):
        if output.shape[2:] == labels.shape[1:]:
            return F.cross_entropy(output, labels)
        if output.shape[:-1] == labels.shape:
            return F.cross_entropy(output.flatten(0, -2), labels.flatten())
    if fits and labels.is_floating_point() and output.shape == labels.shape:
        return F.cross_entropy(output, labels)
    raise UserError(
        f"no cross-entropy fits: the network returns {described(output)}, the labels are {described(labels)}; "
        "pass loss= (any function of the output and the labels)"
    )


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
