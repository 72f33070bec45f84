"""The networks whose neurons skip to the output (Nguyen) as LightningModules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from repro.modules.base import NamedClassifier
from repro.networks.options import Form, Pooling


class CNN13(NamedClassifier):
    """The network of Nguyen's Table 1.

    Args:
        width: Channels of the first layer. Default: the paper's.
        pooling: Convolutions of stride 2, or max-pooling. Default: stride.
        printed: As the paper's Table 3 is printed, with one convolution more than its caption counts.
        common: See `NamedClassifier`; ``neurons`` are its skip connections to the output.

    Example:
        >>> CNN13(width=4, in_channels=1, image_size=28, neurons=100).network.skip
        Linear(in_features=100, out_features=10, bias=False)
    """

    def __init__(
        self, *, width: int | None = None, pooling: Pooling | None = None, printed: bool = False, **common: Any
    ) -> None:
        super().__init__("cnn13", {"width": width, "pooling": pooling, "printed": printed}, **common)


class VGG(NamedClassifier):
    """VGG for small images, as in Nguyen's Table 2.

    Args:
        depth: 11, 13 or 16.
        width: Channels of the first stage. Default: 64.
        pooling: Max-pooling, or convolutions of stride 2. Default: max-pooling.
        common: See `NamedClassifier`; ``neurons`` are its skip connections to the output.

    Example:
        >>> import torch
        >>> VGG(11, width=4, pooling="stride")(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        depth: Literal[11, 13, 16] = 11,
        *,
        width: int | None = None,
        pooling: Pooling | None = None,
        **common: Any,
    ) -> None:
        options = {"width": width, "pooling": pooling}
        super().__init__(f"vgg{depth}", options, own={"depth": depth, **options}, **common)


class DenseNet121(NamedClassifier):
    """DenseNet-121 (Huang et al. 2017).

    Args:
        form: ``small`` or ``imagenet``.
        common: See `NamedClassifier`; ``neurons`` are its skip connections to the output.

    Example:
        >>> len([name for name, _ in DenseNet121().named_parameters() if "conv" in name])
        120
    """

    def __init__(self, *, form: Form = "small", **common: Any) -> None:
        super().__init__("densenet121", {"form": form}, **common)


class SkipToOutput(NamedClassifier):
    """Any network with N of its hidden neurons, chosen at random, connected to the output (Nguyen, section 2).

    Args:
        network: Its name: ``cnn13``, ``vgg11``, ``resnet20``, ``timm/NAME``.
        neurons: Number N of neurons.
        options: The network's own options.
        common: See `NamedClassifier`.

    Example:
        >>> SkipToOutput("resnet20", neurons=500, options={"width": 4}).network.skip
        Linear(in_features=500, out_features=10, bias=False)
    """

    def __init__(
        self, network: str = "cnn13", neurons: int = 1000, options: Mapping[str, Any] | None = None, **common: Any
    ) -> None:
        own = {"network": network, "options": dict(options or {})}
        super().__init__(network, options, own=own, neurons=neurons, **common)
