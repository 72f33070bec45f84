"""PlainNet, ResNet, ResNeXt and DiracNet (Oyedotun) as LightningModules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from repro.modules.base import NamedClassifier
from repro.networks.options import Block, Diagonal, Dial, Form, Normalization, Residual, Shortcut


class ResidualForm(NamedClassifier):
    """What PlainNet, ResNet, ResNeXt and DiracNet have in common.

    Args:
        name: The family.
        depth: Number of weight layers.
        options: The family's own options.
        form: ``small`` (3x3 stem, three stages) or ``imagenet`` (7x7 stem, four stages).
        width: Channels of the first stage. Default: 16 for ``small``, 64 for ``imagenet``.
        normalization: Over the batch; none; or over each image, by groups of channels or all channels.
        normalization_groups: Number of groups for ``group``. Default: 8 for ``small``, 32 for ``imagenet``.
        preactivation: Normalise and activate before each convolution of a block instead of after it.
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
        depth: Number of weight layers: 6 n + 2 with basic blocks, 9 n + 2 with bottlenecks.
        block: Blocks of two 3x3 convolutions, or of 1x1, 3x3, 1x1. Default: the one that fits the depth.
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
        depth: Number of weight layers: 6 n + 2 with basic blocks, 9 n + 2 with bottlenecks.
        block: Blocks of two 3x3 convolutions, or of 1x1, 3x3, 1x1. Default: the one that fits the depth.
        shortcut: Shortcut where the shape changes. Default: identity for ``small``, projection for ``imagenet``.
        skip_strength: α of path + α · shortcut: a number from 0 to 1, or ``learned``. Default: 1.
        residual: How path and shortcut are added: standard, ReZero or Fixup.
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
        depth: Number of weight layers, 9 n + 2.
        groups: Number of paths in a block. Default: 8 for ``small``, 32 for ``imagenet``.
        shortcut: Shortcut where the shape changes. Default: identity for ``small``, projection for ``imagenet``.
        skip_strength: α of path + α · shortcut: a number from 0 to 1, or ``learned``. Default: 1.
        residual: How path and shortcut are added: standard, ReZero or Fixup.
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
    """A network without skip connections whose kernels have the identity added (Oyedotun, Eq. 28).

    Args:
        depth: Number of weight layers, 6 n + 2.
        diagonal: The factor of the identity: trained from 1, held at 1, or as in the published DiracNets.
        common: See `ResidualForm`.

    Example:
        >>> import torch
        >>> DiracNet(20, width=4, diagonal="held")(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, depth: int = 110, *, diagonal: Diagonal = "free", **common: Any) -> None:
        super().__init__("diracnet", depth, {"diagonal": diagonal}, **common)
