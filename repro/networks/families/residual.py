"""PlainNet, ResNet, ResNeXt and DiracNet: one skeleton (He et al. 2016, after their CIFAR and ImageNet networks).

Order convolution, normalisation, activation; the activation of a block's end follows the addition. With preactivation
the order in blocks is normalisation, activation, convolution; nothing follows the addition (He et al. 2016, "Identity
mappings in deep residual networks", Fig. 1 b). Without normalisation the convolutions get a bias, which batch
normalisation would otherwise provide.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from repro.networks.activations import create_activation
from repro.networks.families.block import Block, ZeroPaddedIdentity
from repro.networks.families.checks import norm_groups
from repro.networks.families.dirac import DiracConv2d
from repro.networks.families.fixup import ROOT, Shift, shrink_paths
from repro.networks.families.in_order import InOrder
from repro.networks.families.residual_spec import Layout, Stage
from repro.networks.families.scale import Scale
from repro.networks.initialization import gain, initialise
from repro.networks.options import Options


class ResidualNetwork(InOrder):
    """A stem, stages of blocks that halve the image and double the channels, average pooling, a linear head."""

    def __init__(self, layout: Layout, options: Options) -> None:
        super().__init__()
        self._layout = layout
        self._options = options
        imagenet = layout.form == "imagenet"
        side, stride = (7, 2) if imagenet else (3, 1)
        first = self._convolution(options.in_channels, layout.stem, side=side, stride=stride)
        stem = nn.Sequential(OrderedDict(conv1=first)) if options.preactivation else self._path([first])
        if layout.residual == "fixup":
            stem.add_module("shift", Shift())
        if not options.preactivation:
            stem.add_module("activation", create_activation(self._options))
        if imagenet:
            stem.add_module("pool", nn.MaxPool2d(3, stride=2, padding=1))
        self.stem = stem

        stages, channels = [], layout.stem
        for index, stage in enumerate(layout.stages):
            blocks = []
            for number in range(stage.blocks):
                blocks.append(self._block(channels, stage, stride=2 if index > 0 and number == 0 else 1))
                channels = stage.outside
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.last = nn.Sequential(*self._before(channels, 1).values()) if options.preactivation else nn.Identity()
        self.shift = Shift() if layout.residual == "fixup" else nn.Identity()
        self.head = nn.Linear(channels, options.num_classes)
        initialise(self, options.initialization, gain=gain(options))
        if layout.residual == "fixup":
            shrink_paths([each.path for each in self.modules() if isinstance(each, Block)], self.head)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Class scores (logits) of images."""
        h: Tensor = self.last(self.stages(self.stem(images)))
        logits: Tensor = self.head(self.shift(h.mean((2, 3))))
        return logits

    def _block(self, channels: int, stage: Stage, *, stride: int) -> Block:
        if self._layout.block == "basic":
            convolutions = [
                self._block_convolution(channels, stage.inside, stride=stride),
                self._block_convolution(stage.inside, stage.outside),
            ]
        else:
            convolutions = [
                self._convolution(channels, stage.inside, side=1),
                self._convolution(stage.inside, stage.inside, stride=stride, groups=self._layout.groups),
                self._convolution(stage.inside, stage.outside, side=1),
            ]
        path = self._preactivated(convolutions) if self._options.preactivation else self._path(convolutions)
        if self._layout.residual == "rezero":
            path.add_module("scale", Scale("learned", start=0.0))
        if self._layout.residual == "fixup":
            path.add_module("scale", Scale("learned", root=ROOT))
            path.add_module("shift", Shift())
        shortcut = None if self._layout.shortcut is None else self._shortcut(channels, stage.outside, stride=stride)
        if shortcut is not None and self._layout.strength != 1:
            shortcut = nn.Sequential(OrderedDict(whole=shortcut, scale=Scale(self._layout.strength)))
        return Block(path, shortcut, nn.Identity() if self._options.preactivation else create_activation(self._options))

    def _shortcut(self, channels: int, out_channels: int, *, stride: int) -> nn.Module:
        if stride == 1 and channels == out_channels:
            return nn.Identity()
        if self._layout.shortcut == "identity":
            return ZeroPaddedIdentity(channels, out_channels, stride=stride)
        return self._path([self._convolution(channels, out_channels, side=1, stride=stride)])

    def _path(self, convolutions: Sequence[nn.Conv2d]) -> nn.Sequential:
        """The convolutions, each with its normalisation, activations between them; Fixup's scalar before each."""
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        fixup = self._layout.residual == "fixup"
        for number, convolution in enumerate(convolutions, 1):
            if fixup:
                parts[f"shift{number}"] = Shift()
            parts[f"conv{number}"] = convolution
            if self._options.normalization != "none":
                parts[f"norm{number}"] = self._normalization(convolution.out_channels)
            if number < len(convolutions):
                if fixup:
                    parts[f"shift{number}b"] = Shift()
                parts[f"activation{number}"] = create_activation(self._options)
        return nn.Sequential(parts)

    def _preactivated(self, convolutions: Sequence[nn.Conv2d]) -> nn.Sequential:
        """The convolutions, each behind a normalisation and an activation."""
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        for number, convolution in enumerate(convolutions, 1):
            parts |= self._before(convolution.in_channels, number)
            parts[f"conv{number}"] = convolution
        return nn.Sequential(parts)

    def _before(self, channels: int, number: int) -> OrderedDict[str, nn.Module]:
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        if self._options.normalization != "none":
            parts[f"norm{number}"] = self._normalization(channels)
        parts[f"activation{number}"] = create_activation(self._options)
        return parts

    def _normalization(self, channels: int) -> nn.Module:
        if self._options.normalization == "batch":
            return nn.BatchNorm2d(channels)
        return nn.GroupNorm(norm_groups(self._options), channels)

    def _block_convolution(self, channels: int, out_channels: int, *, stride: int = 1) -> nn.Conv2d:
        if self._layout.diagonal is None:
            return self._convolution(channels, out_channels, stride=stride)
        bias = self._options.normalization == "none"
        return DiracConv2d(channels, out_channels, stride=stride, bias=bias, diagonal=self._layout.diagonal)

    def _convolution(
        self, channels: int, out_channels: int, *, side: int = 3, stride: int = 1, groups: int = 1
    ) -> nn.Conv2d:
        bias = self._options.normalization == "none" and self._layout.residual != "fixup"
        return nn.Conv2d(channels, out_channels, side, stride, side // 2, groups=groups, bias=bias)
