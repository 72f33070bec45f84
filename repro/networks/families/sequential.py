"""Nguyen's networks without shortcuts: CNN13, VGG and fully connected ones (section 4; appendices D to G)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from repro.errors import UserError
from repro.networks.activations import create_activation
from repro.networks.families.in_order import InOrder
from repro.networks.families.sequential_spec import Convolution, Plan, left
from repro.networks.initialization import gain, initialise
from repro.networks.options import Options


class SequentialNet(InOrder):
    """Convolutions, each with its bias and activation, then fully connected layers, then a linear output."""

    def __init__(self, plan: Plan, options: Options) -> None:
        super().__init__()
        self._plan, self._options = plan, options
        channels = options.in_channels
        features: OrderedDict[str, nn.Module] = OrderedDict()
        for number, step in enumerate(plan.features, 1):
            if isinstance(step, Convolution):
                padding = step.side // 2 if step.side % 2 else 0
                features[f"conv{number}"] = nn.Conv2d(channels, step.channels, step.side, step.stride, padding)
                features[f"activation{number}"] = create_activation(self._options)
                channels = step.channels
            else:
                features[f"pool{number}"] = nn.MaxPool2d(2, ceil_mode=step.ceil)
        self.features = nn.Sequential(features)
        self._left = left(options.image_size, plan)
        self.classifier = nn.Sequential(self._fully_connected(channels * self._left**2, plan.hidden))
        initialise(self, options.initialization, gain=gain(options))

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Class scores (logits) of images; `UserError` for images that it was not made for."""
        height, width = images.shape[2:]
        if left(height, self._plan) * left(width, self._plan) != self._left**2:
            made, square = self._options.image_size, height == width
            do = f"make it with image_size={height}" if square else "allowed: square ones"
            raise UserError(f"images are {height} x {width}, and the network was made for {made} x {made}; {do}")
        logits: Tensor = self.classifier(self.features(images).flatten(1))
        return logits

    def _fully_connected(self, inputs: int, hidden: Sequence[int]) -> OrderedDict[str, nn.Module]:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, width in enumerate(hidden, 1):
            layers[f"linear{number}"] = nn.Linear(inputs, width)
            layers[f"activation{number}"] = create_activation(self._options)
            inputs = width
        layers["output"] = nn.Linear(inputs, self._options.num_classes)
        return layers
