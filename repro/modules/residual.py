"""PlainNet, ResNet, ResNeXt and DiracNet (Oyedotun) as LightningModules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from repro.modules.base import NamedClassifier
from repro.networks.options import Block, Diagonal, Dial, Form, Normalization, Residual, Shortcut


class ResidualForm(NamedClassifier):
    """A network of the skeleton that the four families have in common.

    Args:
        name: The family.
        depth: Weight layers.
        options: The family's own options.
        form: For small images (3x3 stem, three stages), or ImageNet's (7x7 stem, four stages).
        width: Channels of the first stage. Default: 16, or 64.
        normalization: After each convolution: batch normalisation; none; of each image, over groups of channels or all.
        normalization_groups: Groups of the channels for normalization ``group``. Default: 8, or 32.
        preactivation: Normalise and activate before each convolution of a block, not after it.
        common: See `NamedClassifier`.
    """

    def __init__(
        self,
        name: str,
        depth: int,
        options: Mapping[str, Any],
        *,
        form: Form = "small",
        width: int | None = None,
        normalization: Normalization = "batch",
        normalization_groups: int | None = None,
        preactivation: bool = False,
        **common: Any,
    ) -> None:
        normalizing = {"normalization": normalization, "normalization_groups": normalization_groups}
        options = {"form": form, "width": width, "preactivation": preactivation, **normalizing, **options}
        super().__init__(f"{name}{depth}", options, own={"depth": depth, **options}, **common)


class PlainNet(ResidualForm):
    """ResNet without its skip connections (Oyedotun).

    Args:
        depth: Weight layers: 6 n + 2 of basic blocks, 9 n + 2 of bottlenecks.
        block: Two 3x3 convolutions, or 1x1, 3x3, 1x1. Default: by depth.
        common: See `ResidualForm`.

    Example:
        >>> import torch
        >>> PlainNet(20, width=4)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, depth: int = 110, *, block: Block | None = None, **common: Any) -> None:
        super().__init__("plainnet", depth, {"block": block}, **common)


class ResNet(ResidualForm):
    """A residual network (He et al. 2016).

    Args:
        depth: Weight layers: 6 n + 2 of basic blocks, 9 n + 2 of bottlenecks.
        block: Two 3x3 convolutions, or 1x1, 3x3, 1x1. Default: by depth.
        shortcut: Where the shape changes. Default: identity for small images, projection for ImageNet's form.
        skip_strength: α of path + α · shortcut: a number from 0 to 1, or ``learned``. Default: 1.
        residual: What joins the two: the sum; ReZero's; Fixup's.
        common: See `ResidualForm`.

    Example:
        >>> import torch
        >>> ResNet(20, width=4, num_classes=100)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 100])
    """

    def __init__(
        self,
        depth: int = 110,
        *,
        block: Block | None = None,
        shortcut: Shortcut | None = None,
        skip_strength: Dial | None = None,
        residual: Residual = "standard",
        **common: Any,
    ) -> None:
        skips = {"shortcut": shortcut, "skip_strength": skip_strength, "residual": residual}
        super().__init__("resnet", depth, {"block": block, **skips}, **common)


class ResNeXt(ResidualForm):
    """A residual network whose blocks aggregate several paths (Xie et al. 2017).

    Args:
        depth: Weight layers, 9 n + 2.
        groups: Paths. Default: 8, or 32.
        shortcut: Where the shape changes. Default: identity for small images, projection for ImageNet's form.
        skip_strength: α of path + α · shortcut: a number from 0 to 1, or ``learned``. Default: 1.
        residual: What joins the two: the sum; ReZero's; Fixup's.
        common: See `ResidualForm`.

    Example:
        >>> import torch
        >>> ResNeXt(29, width=8, groups=2)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        depth: int = 110,
        *,
        groups: int | None = None,
        shortcut: Shortcut | None = None,
        skip_strength: Dial | None = None,
        residual: Residual = "standard",
        **common: Any,
    ) -> None:
        skips = {"shortcut": shortcut, "skip_strength": skip_strength, "residual": residual}
        super().__init__("resnext", depth, {"groups": groups, **skips}, **common)


class DiracNet(ResidualForm):
    """A network whose convolutions have the identity added to them in place of skip connections (Oyedotun, Eq. 28).

    Args:
        depth: Weight layers, 6 n + 2.
        diagonal: What multiplies the identity: trained from 1, held at 1, or as in the published DiracNets.
        common: See `ResidualForm`.

    Example:
        >>> import torch
        >>> DiracNet(20, width=4, diagonal="held")(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, depth: int = 110, *, diagonal: Diagonal = "free", **common: Any) -> None:
        super().__init__("diracnet", depth, {"diagonal": diagonal}, **common)
