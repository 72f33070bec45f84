"""A convolution with the identity inside its weight."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class DiracConv2d(nn.Conv2d):
    """A square convolution with the weight W + diag(a) · delta (Oyedotun, Eq. 28; DiracNets, arXiv:1706.00388).

    Delta is the kernel that maps an image to itself (`torch.nn.init.dirac_`), so that with a = 1 the layer computes W x
    + x. Where it has more output than input channels, delta is a partial identity, as in DiracNets: the first channels
    carry the input, the others nothing; with stride 2 it carries every second pixel. With W = 0 and a = 1 it is
    therefore ResNet's identity shortcut, subsampled and zero-padded. Eq. 28 has neither DiracNets' normalisation of W,
    to norm 1 for every output channel, nor its scale b, which starts at 0.1.

    The diagonal ``free`` makes a, of min(in, out) entries, a parameter that starts at 1; ``held`` a buffer of ones;
    ``published`` is free, with b and the normalised W. The side of the kernel is odd; the padding keeps the image's
    size.
    """

    diagonal: Tensor
    delta: Tensor
    scale: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int = 3,
        stride: int = 1,
        bias: bool = False,
        diagonal: str = "free",
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=bias)
        ones = torch.ones(min(in_channels, out_channels))
        if diagonal == "held":
            self.register_buffer("diagonal", ones)
        else:
            self.diagonal = nn.Parameter(ones)
        self.register_parameter(
            "scale", nn.Parameter(torch.full((out_channels,), 0.1)) if diagonal == "published" else None
        )
        self.register_buffer("delta", nn.init.dirac_(torch.empty_like(self.weight)).detach(), persistent=False)

    def effective_weight(self) -> Float[Tensor, "out in kernel kernel"]:
        """W + diag(a) · delta, the weight that the convolution applies; as published, diag(b) · W/‖W‖ in W's place."""
        # delta's entries lie at equal output and input channel, so a may run along whichever is the shorter.
        shape = (1, -1, 1, 1) if self.in_channels <= self.out_channels else (-1, 1, 1, 1)
        weight = self.weight
        if self.scale is not None:
            weight = self.scale.view(-1, 1, 1, 1) * F.normalize(weight.flatten(1), dim=1).view_as(weight)
        return torch.addcmul(weight, self.diagonal.view(shape), self.delta)

    def forward(
        self,
        input: Float[Tensor, "batch in height width"],  # noqa: A002 (the base class's name)
    ) -> Float[Tensor, "batch out new_height new_width"]:
        """The convolution of the input with the effective weight."""
        return F.conv2d(input, self.effective_weight(), self.bias, self.stride, self.padding)
