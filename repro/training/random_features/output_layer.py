"""The weights of a network's output, as a function of features alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from repro.errors import UserError
from repro.networks import weight_layers
from repro.networks.skip import SkipToOutput, without_skips


class OutputLayer(nn.Module):
    """The weights of a network's output, as a linear function of features: W h + b, V ψ or their sum.

    Freezes everything else. The network has skip connections to the output, or a last weight layer (found by a pass of
    the image) that is linear; else `UserError`.
    """

    def __init__(self, network: nn.Module, image: Float[Tensor, "one channels height width"]) -> None:
        super().__init__()
        own = weight_layers(without_skips(network), image)[-1].module
        if not isinstance(own, nn.Linear):
            raise UserError("model.train output needs a network that ends in a linear layer")
        network.requires_grad_(False)
        self._parts = (network, own)  # in a tuple: their parameters are not this module's a second time
        self._keeps_head = not (isinstance(network, SkipToOutput) and network.head == "replace")
        if isinstance(network, SkipToOutput):
            network.skip.requires_grad_(True)
        if self._keeps_head:
            own.requires_grad_(True)

    def features(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch features"]:
        """The features that the output reads: ψ, then h, or one of them."""
        network, own = self._parts
        read: list[Tensor] = []
        hook = own.register_forward_pre_hook(lambda _module, args: read.append(args[0]))
        try:
            psi = [network.features(images)[0]] if isinstance(network, SkipToOutput) else [network(images)][:0]
        finally:
            hook.remove()
        if read[-1].ndim != 2:
            raise UserError(f"the output layer reads features of shape {tuple(read[-1].shape)}; it must read a vector")
        return torch.cat([*psi, *(read[-1:] if self._keeps_head else [])], 1)

    @property
    def width(self) -> int:
        """Number of features of an image."""
        network, own = self._parts
        chosen = network.skip.in_features if isinstance(network, SkipToOutput) else 0
        return chosen + (own.in_features if self._keeps_head else 0)

    @property
    def has_bias(self) -> bool:
        """Whether a bias is among the output's weights."""
        return self._keeps_head and self._parts[1].bias is not None

    @property
    def num_classes(self) -> int:
        """Number of logits."""
        return self._parts[1].out_features

    @torch.no_grad()
    def assign(self, weights: Float[Tensor, "columns classes"]) -> None:
        """Set all weights: a row for each feature, and a last one for the bias if there is one."""
        network, own = self._parts
        if isinstance(network, SkipToOutput):
            count = network.skip.in_features
            network.skip.weight.copy_(weights[:count].mT)
            weights = weights[count:]
        if self._keeps_head:
            own.weight.copy_(weights[: own.in_features].mT)
            if own.bias is not None:
                own.bias.copy_(weights[-1])

    def forward(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch classes"]:
        """Class scores (logits) of features."""
        network, own = self._parts
        if not isinstance(network, SkipToOutput):
            return F.linear(features, own.weight, own.bias)
        count = network.skip.in_features
        added: Tensor = network.skip(features[:, :count])
        return added + F.linear(features[:, count:], own.weight, own.bias) if self._keeps_head else added
