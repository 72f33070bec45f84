"""DenseNet (Huang et al. 2017), for small images and for ImageNet."""

from __future__ import annotations

from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from repro.networks.activations import create_activation
from repro.networks.families.in_order import InOrder
from repro.networks.initialization import gain, initialise
from repro.networks.options import Options

BLOCKS = {121: (6, 12, 24, 16)}
GROWTH = 32
BOTTLENECK = 4
"""Output channels of a layer's 1x1 convolution, as a multiple of the growth."""


class DenseLayer(nn.Module):
    """Normalisation, activation, 1x1 convolution; the same with 3x3; the result is put beside what was read."""

    def __init__(self, channels: int, options: Options) -> None:
        super().__init__()
        inside = BOTTLENECK * GROWTH
        self.norm1 = nn.BatchNorm2d(channels)
        self.activation1 = create_activation(options)
        self.conv1 = nn.Conv2d(channels, inside, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(inside)
        self.activation2 = create_activation(options)
        self.conv2 = nn.Conv2d(inside, GROWTH, 3, padding=1, bias=False)

    def forward(self, h: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch more height width"]:
        """From what all layers before gave to the same with this layer's own."""
        new = self.conv1(self.activation1(self.norm1(h)))
        return torch.cat([h, self.conv2(self.activation2(self.norm2(new)))], 1)


class DenseNet(InOrder):
    """Dense blocks with transitions that halve channels (compression 0.5) and image; pooling; a linear head. Depth 121.

    The small form has a 3x3 stem without pooling (Nguyen: its skip neurons come from the first dense block, before any
    pooling); the ImageNet form torchvision's 7x7 stem of stride 2 with normalisation and max-pooling.
    """

    def __init__(self, depth: int, options: Options) -> None:
        super().__init__()
        channels = 2 * GROWTH
        features: OrderedDict[str, nn.Module] = OrderedDict()
        if options.form == "imagenet":
            features["conv"] = nn.Conv2d(options.in_channels, channels, 7, 2, 3, bias=False)
            features["norm"] = nn.BatchNorm2d(channels)
            features["activation"] = create_activation(options)
            features["pool"] = nn.MaxPool2d(3, 2, 1)
        else:
            features["conv"] = nn.Conv2d(options.in_channels, channels, 3, padding=1, bias=False)
        blocks = BLOCKS[depth]
        for number, layers in enumerate(blocks, 1):
            features[f"block{number}"] = nn.Sequential(
                *(DenseLayer(channels + GROWTH * before, options) for before in range(layers))
            )
            channels += GROWTH * layers
            if number < len(blocks):
                features[f"transition{number}"] = self._transition(channels, options)
                channels //= 2
        features["last_norm"] = nn.BatchNorm2d(channels)
        features["last_activation"] = create_activation(options)
        self.features = nn.Sequential(features)
        self.head = nn.Linear(channels, options.num_classes)
        initialise(self, options.initialization, gain=gain(options))

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Class scores (logits) of images."""
        logits: Tensor = self.head(self.features(images).mean((2, 3)))
        return logits

    def skip_layer_names(self) -> list[str]:
        """The activations whose outputs may be connected to the output: the first dense block's (Nguyen, Table 2)."""
        inside = "features.block1."
        return [name for name, _ in self.named_modules() if name.startswith(inside) and "activation" in name]

    @staticmethod
    def _transition(channels: int, options: Options) -> nn.Sequential:
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        parts["norm"] = nn.BatchNorm2d(channels)
        parts["activation"] = create_activation(options)
        parts["conv"] = nn.Conv2d(channels, channels // 2, 1, bias=False)
        parts["pool"] = nn.AvgPool2d(2)
        return nn.Sequential(parts)
