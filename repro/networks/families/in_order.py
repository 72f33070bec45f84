"""Networks of ours list their weight layers by the order in which their modules are registered."""

from __future__ import annotations

from torch import nn


class InOrder(nn.Module):
    """A network whose modules are registered in the order in which they are called."""

    def weight_layer_names(self) -> list[str]:
        """Names of the convolutions and linear layers in forward order, shortcut projections left out."""
        return [
            name
            for name, module in self.named_modules()
            if isinstance(module, nn.Conv2d | nn.Linear) and ".shortcut." not in name
        ]
