"""Whether a training has diverged, found at the same step however often anything is logged."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

CHECK_EVERY = 50
"""Steps between two looks at what the device has noted; each waits for it."""

_NEVER = 2**62


class Diverged(Exception):
    """The training loss is NaN or infinite: the run has its result.

    `step` is how many steps had been taken by then, if that is not where the training stands now.
    """

    def __init__(self, message: str, step: int | None = None) -> None:
        super().__init__(message)
        self.step = step


class Divergence:
    """The first step whose loss is NaN or infinite, kept on the device without waiting for it."""

    def __init__(self, first: int | None = None) -> None:
        self._first = torch.tensor(_NEVER if first is None else first)

    def note(self, loss: Float[Tensor, ""], step: int) -> None:
        """Look at a step's loss."""
        if self._first.device != loss.device:
            self._first = self._first.to(loss.device)
        odd = torch.where(loss.detach().isfinite(), _NEVER, step)
        self._first = torch.minimum(self._first, odd)

    def before(self, step: int) -> Bool[Tensor, ""]:
        """Whether a step before this one is noted; does not wait for the device."""
        return self._first < step

    def first(self) -> int | None:
        """The step; None if there is none. Waits for the device."""
        step = int(self._first.item())
        return None if step == _NEVER else step

    def check(self) -> None:
        """Raise `Diverged` if there is such a step."""
        if (step := self.first()) is not None:
            raise Diverged(f"the training loss is not finite at step {step}", step)


def require_finite_weights(network: nn.Module, step: int) -> None:
    """The last step's loss was computed before that step: raise `Diverged` if a weight is not finite after it."""
    for name, weight in network.named_parameters():
        if not weight.isfinite().all():
            raise Diverged(f"the weights are not finite after step {step} ({name})")


def require_finite_result(final: Mapping[str, float]) -> None:
    """Raise `Diverged` where the trained network gives no number for its own training images."""
    if not math.isfinite(loss := final.get("train_cross_entropy", 0.0)):
        raise Diverged(f"the cross-entropy of the training images is {loss} after the last step")
