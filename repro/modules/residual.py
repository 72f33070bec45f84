"""PlainNet, ResNet, ResNeXt and DiracNet (Oyedotun) as LightningModules."""

from __future__ import annotations

from typing import Any, Literal

from repro.modules.base import Block, Form, NamedClassifier, Normalization, Shortcut


class PlainNet(NamedClassifier):
    """ResNet without its skip connections (Oyedotun).

    Args:
        depth: Weight layers: 6 n + 2 of basic blocks, 9 n + 2 of bottlenecks.
        form: For small images (3x3 stem, three stages), or ImageNet's (7x7 stem, four stages).
        width: Channels of the first stage. Default: 16, or 64.
        block: Two 3x3 convolutions, or 1x1, 3x3, 1x1. Default: by depth.
        normalization: Batch normalisation after each convolution, or none.
        common: See `NamedClassifier`.

    Example:
        >>> import torch
        >>> PlainNet(20, width=4)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        depth: int = 110,
        *,
        form: Form = "small",
        width: int | None = None,
        block: Block | None = None,
        normalization: Normalization = "batch",
        **common: Any,
    ) -> None:
        options = {"form": form, "width": width, "block": block, "normalization": normalization}
        super().__init__(f"plainnet{depth}", options, **common)


class ResNet(NamedClassifier):
    """A residual network (He et al. 2016).

    Args:
        depth: Weight layers: 6 n + 2 of basic blocks, 9 n + 2 of bottlenecks.
        form: For small images (3x3 stem, three stages), or ImageNet's (7x7 stem, four stages).
        width: Channels of the first stage. Default: 16, or 64.
        block: Two 3x3 convolutions, or 1x1, 3x3, 1x1. Default: by depth.
        normalization: Batch normalisation after each convolution, or none.
        shortcut: Where the shape changes. Default: identity for small images, projection for ImageNet's form.
        common: See `NamedClassifier`.

    Example:
        >>> import torch
        >>> ResNet(20, width=4, num_classes=100)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 100])
    """

    def __init__(
        self,
        depth: int = 110,
        *,
        form: Form = "small",
        width: int | None = None,
        block: Block | None = None,
        normalization: Normalization = "batch",
        shortcut: Shortcut | None = None,
        **common: Any,
    ) -> None:
        options = {"form": form, "width": width, "block": block, "normalization": normalization, "shortcut": shortcut}
        super().__init__(f"resnet{depth}", options, **common)


class ResNeXt(NamedClassifier):
    """A residual network whose blocks aggregate several paths (Xie et al. 2017).

    Args:
        depth: Weight layers, 9 n + 2.
        form: For small images (3x3 stem, three stages), or ImageNet's (7x7 stem, four stages).
        width: Channels of the first stage. Default: 16, or 64.
        groups: Paths. Default: 8, or 32.
        normalization: Batch normalisation after each convolution, or none.
        shortcut: Where the shape changes. Default: identity for small images, projection for ImageNet's form.
        common: See `NamedClassifier`.

    Example:
        >>> import torch
        >>> ResNeXt(29, width=8, groups=2)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        depth: int = 110,
        *,
        form: Form = "small",
        width: int | None = None,
        groups: int | None = None,
        normalization: Normalization = "batch",
        shortcut: Shortcut | None = None,
        **common: Any,
    ) -> None:
        options = {"form": form, "width": width, "groups": groups, "normalization": normalization, "shortcut": shortcut}
        super().__init__(f"resnext{depth}", options, **common)


class DiracNet(NamedClassifier):
    """A network whose convolutions have the identity added to them in place of skip connections (Oyedotun, Eq. 28).

    Args:
        depth: Weight layers, 6 n + 2.
        form: For small images (3x3 stem, three stages), or ImageNet's (7x7 stem, four stages).
        width: Channels of the first stage. Default: 16, or 64.
        diagonal: What multiplies the identity: trained from 1, or held at 1.
        normalization: Batch normalisation after each convolution, or none.
        common: See `NamedClassifier`.

    Example:
        >>> import torch
        >>> DiracNet(20, width=4, diagonal="held")(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        depth: int = 110,
        *,
        form: Form = "small",
        width: int | None = None,
        diagonal: Literal["free", "held"] = "free",
        normalization: Normalization = "batch",
        **common: Any,
    ) -> None:
        options = {"form": form, "width": width, "diagonal": diagonal, "normalization": normalization}
        super().__init__(f"diracnet{depth}", options, **common)
