"""The networks by name as LightningModules with arguments of their own, for a stranger's Trainer or LightningCLI.

Thin: a network of `repro.networks.create_network` in a `Classifier`. With the same seed, `lightning.seed_everything`
called first, they train as ``repro fit`` does, number by number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch

from repro.config import TrainingConfig
from repro.networks import create_network
from repro.networks.skip import connect
from repro.training.classifier import Classifier

Activation = Literal["relu", "sigmoid", "softplus", "tanh", "identity"]
Initialization = Literal["he", "truncated", "truncated_corrected", "xavier"]
Normalization = Literal["batch", "none"]
Form = Literal["small", "imagenet"]
Block = Literal["basic", "bottleneck"]
Shortcut = Literal["identity", "projection"]
Pooling = Literal["maxpool", "stride"]
Head = Literal["add", "replace", "fill"]


class NamedClassifier(Classifier):
    """A network by name, trained by SGD.

    Args:
        name: As `repro.networks.create_network` takes it: ``resnet110``, ``timm/NAME``.
        options: The network's own options.
        num_classes: The data's classes.
        in_channels: The images' channels.
        image_size: Their height and width.
        activation: Activation.
        gamma: Softplus is (1/gamma) log(1 + exp(gamma t)).
        initialization: Gaussian of variance 2 / fan-in (he); cut off at two deviations; with that corrected; Glorot's.
        loss: What is trained on, beside the penalties.
        learning_rate: After the warm-up.
        momentum: Of SGD.
        nesterov: Take Nesterov's momentum.
        weight_decay: The objective is the loss + weight_decay / 2 times the sum of all squared parameters.
        spectral_penalty: Weight of a penalty on unequal singular values; 0: none.
        warmup_steps: Steps at `warmup_learning_rate` before the first of `learning_rate`.
        warmup_learning_rate: The learning rate of the warm-up.
        milestones: Where the learning rate is multiplied by `factor`, as shares of all steps.
        factor: What it is multiplied by.
        every_n_steps: How often ``step/...`` metrics are recorded.
        neurons: Connect so many hidden neurons, chosen at random, to the output.
        skip_seed: Seed of that choice.
        skip_head: Keep the output layer beside them; only them; or fill up to that number.

    Raises:
        UserError: For an unknown network, depth or option, or what the network does not take.
    """

    def __init__(
        self,
        name: str,
        options: Mapping[str, Any] | None = None,
        *,
        num_classes: int = 10,
        in_channels: int = 3,
        image_size: int = 32,
        activation: Activation = "relu",
        gamma: float = 20.0,
        initialization: Initialization = "he",
        loss: Literal["cross_entropy", "square", "hinge"] = "cross_entropy",
        learning_rate: float = 0.1,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 1e-4,
        spectral_penalty: float = 0.0,
        warmup_steps: int = 400,
        warmup_learning_rate: float = 0.01,
        milestones: tuple[float, ...] = (0.5, 0.75),
        factor: float = 0.1,
        every_n_steps: int = 10,
        neurons: int | None = None,
        skip_seed: int = 0,
        skip_head: Head = "add",
    ) -> None:
        facts: dict[str, Any] = {"num_classes": num_classes, "in_channels": in_channels, "image_size": image_size}
        drawn: dict[str, Any] = {"activation": activation, "gamma": gamma, "initialization": initialization}
        network = create_network(name, **facts, **drawn, **(options or {}))
        if neurons is not None:
            image = torch.zeros(1, in_channels, image_size, image_size)
            skips: dict[str, Any] = {"num_classes": num_classes, "head": skip_head, "initialization": initialization}
            network = connect(network, neurons, skip_seed, image=image, **skips)
        training = TrainingConfig(
            loss=loss,
            learning_rate=learning_rate,
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=weight_decay,
            spectral_penalty=spectral_penalty,
            warmup_steps=warmup_steps,
            warmup_learning_rate=warmup_learning_rate,
            milestones=tuple(milestones),
            factor=factor,
        )
        network = network.to(memory_format=torch.channels_last)
        super().__init__(network, num_classes=num_classes, training=training, every_n_steps=every_n_steps)
        self.save_hyperparameters(ignore=["options", "name"])


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


class CNN13(NamedClassifier):
    """The network of Nguyen's Table 1.

    Args:
        width: Channels of the first layer. Default: the paper's.
        pooling: Convolutions of stride 2, or max-pooling. Default: stride.
        printed: As its table is printed, with a convolution more than its text and number of neurons say.
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
    """VGG for small images, as Nguyen's Table 2 has it.

    Args:
        depth: 11, 13 or 16.
        width: Channels of the first stage. Default: 64.
        pooling: Max-pooling, or convolutions of stride 2. Default: max-pooling.
        common: See `NamedClassifier`; ``neurons`` are its skip connections to the output.

    Example:
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
        super().__init__(f"vgg{depth}", {"width": width, "pooling": pooling}, **common)


class DenseNet121(NamedClassifier):
    """DenseNet-121 (Huang et al. 2017).

    Args:
        form: For small images, or ImageNet's.
        common: See `NamedClassifier`; ``neurons`` are its skip connections to the output.

    Example:
        >>> len([name for name, _ in DenseNet121().named_parameters() if "conv" in name])
        120
    """

    def __init__(self, *, form: Form = "small", **common: Any) -> None:
        super().__init__("densenet121", {"form": form}, **common)


class SkipToOutput(NamedClassifier):
    """Any network whose output also reads N hidden neurons, chosen at random (Nguyen, section 2).

    Args:
        network: By name: ``cnn13``, ``vgg11``, ``resnet20``, ``timm/NAME``.
        neurons: N.
        options: The network's own options.
        common: See `NamedClassifier`.

    Example:
        >>> SkipToOutput("resnet20", neurons=500, options={"width": 4}).network.skip
        Linear(in_features=500, out_features=10, bias=False)
    """

    def __init__(
        self, network: str = "cnn13", neurons: int = 1000, options: Mapping[str, Any] | None = None, **common: Any
    ) -> None:
        super().__init__(network, options, neurons=neurons, **common)
