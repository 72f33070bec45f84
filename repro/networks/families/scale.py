"""A number that scales an image: the skip's dial, ReZero's and Fixup's multiplier."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from repro.networks.options import Dial


class Scale(nn.Module):
    """An image times one number, or with ``learned`` a parameter that starts at `start`.

    A learned number is `root` times its parameter, so that SGD moves it root^2 times as fast.
    """

    def __init__(self, strength: Dial, *, start: float = 1.0, root: float = 1.0) -> None:
        super().__init__()
        self.root = root
        self.strength = nn.Parameter(torch.full((1,), start / root)) if strength == "learned" else strength

    @property
    def value(self) -> float | Tensor:
        """The number."""
        return self.strength * self.root if isinstance(self.strength, Tensor) else self.strength

    def forward(self, h: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """The product."""
        return h * self.value

    def extra_repr(self) -> str:
        """The number, where it is none that trains."""
        return "" if isinstance(self.strength, Tensor) else str(self.strength)
