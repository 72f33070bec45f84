"""A block of weight layers and its shortcut."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class ZeroPaddedIdentity(nn.Module):
    """The shortcut without parameters where the shape changes: every stride-th pixel, and new channels of zeros."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.new_channels = out_channels - in_channels

    def forward(self, h: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch more rows columns"]:
        """The image, smaller and with more channels."""
        return F.pad(h[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels))


class Block(nn.Module):
    """Two or three weight layers, with or without a shortcut (Oyedotun, section 3.2).

    PlainNet, Eq. 1: h^l = W^l W^(l-1) h^(l-2). ResNet, Eq. 2: h^l = W_b^l W_b^(l-1) h^(l-2) + h^(l-2). ResNeXt, Eq. 4:
    h^l = sum over k of W_b^(l,k) W_b^(l-1,k) h^(l-2), + h^(l-2). Each W stands for a convolution, its normalisation
    and, but for the last, its activation. A bottleneck has three instead of two. The dial, ReZero and Fixup end the
    shortcut or the path in a `Scale`.

    ResNeXt's paths run side by side. In a bottleneck the 3x3 convolution is grouped, as in the ResNeXt paper. In a
    basic block the first convolution computes all paths' outputs as one stack of channels, and the second reads the
    stack: [W^(l,1) ... W^(l,m)] times the stacked h_1, ..., h_m is the sum of W^(l,k) h_k, so that an ordinary
    convolution is the sum of Eq. 4. (The activation and the normalisation between the two act on each channel alone.)
    """

    def __init__(self, path: nn.Module, shortcut: nn.Module | None, activation: nn.Module) -> None:
        super().__init__()
        self.path = path
        self.shortcut = shortcut
        self.activation = activation

    def forward(self, h: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch more rows columns"]:
        """From h^(l-2) to h^l."""
        if self.shortcut is None:
            output: Tensor = self.activation(self.path(h))  # Eq. 1
        else:
            output = self.activation(self.path(h) + self.shortcut(h))  # Eq. 2 and 4
        return output
