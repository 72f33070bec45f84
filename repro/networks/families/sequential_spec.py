"""The layers of CNN13, VGG and the fully connected networks, worked out and checked without torch."""

from __future__ import annotations

from dataclasses import dataclass

from repro.errors import UserError
from repro.networks.families.checks import check_channels
from repro.networks.family import Depths
from repro.networks.options import Options


@dataclass(frozen=True)
class Convolution:
    """A convolution with bias and activation; odd kernels are padded by half their side, even ones not at all."""

    channels: int
    side: int = 3
    stride: int = 1


@dataclass(frozen=True)
class Pool:
    """2 x 2 max-pooling."""

    ceil: bool = False
    """Whether an odd size is rounded up."""


Step = Convolution | Pool


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that a stack is built from."""

    features: tuple[Step, ...] = ()
    hidden: tuple[int, ...] = ()
    """Widths of the fully connected layers before the output."""


CNN_DEPTHS = Depths((13,), "13")
VGG_DEPTHS = Depths((11, 13, 16), "11, 13, 16")
FC_DEPTHS = Depths(range(1, 10_000), "1 and more")

_VGG_CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3)}
_VGG_WIDTHS = (1, 2, 4, 8, 8)


def output_size(size: int, step: Step) -> int:
    """Side of the image after a step."""
    if isinstance(step, Pool):
        return -(-size // 2) if step.ceil else size // 2
    padding = step.side // 2 if step.side % 2 else 0
    return (size + 2 * padding - step.side) // step.stride + 1


def _checked(options: Options, plan: Plan) -> Plan:
    channels = [options.in_channels, *(step.channels for step in plan.features if isinstance(step, Convolution))]
    names = [f"features.conv{n}" for n, step in enumerate(plan.features, 1) if isinstance(step, Convolution)]
    check_channels(options, zip(names, channels, channels[1:], strict=False))
    return plan


def left(size: int, plan: Plan) -> int:
    """Side of the image that is left after all steps; 0 for nothing."""
    for step in plan.features:
        size = max(output_size(size, step), 0)
    return size


def cnn(_depth: int | None, options: Options) -> Plan:
    """CNN13 (Nguyen, Table 3).

    The table prints 13 convolutions with 204,928 neurons where caption and Table 1 say 179,840 neurons. One of its two
    equal rows "3 x 3 conv-128, stride 1" left out gives both; ``printed`` puts it back. ``pooling`` stride (the
    default) is as printed; maxpool has convolutions of stride 1 with 2 x 2 max-pooling after them.
    """
    w = options.width or 64
    wide = [Convolution(2 * w)] * (2 if options.printed else 1)
    rows: list[Convolution] = [
        *[Convolution(w), Convolution(w), Convolution(w, stride=2)],
        *[*wide, Convolution(2 * w, stride=2)],
        *[Convolution(4 * w), Convolution(4 * w, side=1), Convolution(4 * w, stride=2)],
        *[Convolution(4 * w), Convolution(4 * w, stride=2)],
        *[Convolution(4 * w), Convolution(4 * w, stride=2)],
    ]
    if options.pooling != "maxpool":
        return _checked(options, Plan(features=tuple(rows)))
    features: list[Step] = []
    for row in rows:
        features.append(Convolution(row.channels, row.side))
        features += [Pool(ceil=True)] * (row.stride - 1)
    return _checked(options, Plan(features=tuple(features)))


def vgg(depth: int | None, options: Options) -> Plan:
    """VGG11, 13 and 16 for 32 x 32 images, with two hidden layers of 128 (Nguyen, section 4 and appendix G).

    Simonyan and Zisserman's stacks have 4096. ``pooling`` maxpool (the default), or stride: 2 x 2 convolutions of
    stride 2 in place of max-pooling (appendix G).
    """
    assert depth is not None  # the family has a depth rule
    if options.image_size < 32:
        raise UserError(
            f"image_size {options.image_size} is too small for vgg{depth}; it needs 32 or more (cnn13 takes 28)"
        )
    width = options.width or 64
    features: list[Step] = []
    for count, factor in zip(_VGG_CONVOLUTIONS[depth], _VGG_WIDTHS, strict=True):
        features += [Convolution(factor * width)] * count
        features.append(Convolution(factor * width, side=2, stride=2) if options.pooling == "stride" else Pool())
    return _checked(options, Plan(features=tuple(features), hidden=(128, 128)))


def fc(depth: int | None, options: Options) -> Plan:
    """`depth` hidden layers of one width (Nguyen, Fig. 5: 150 of width 10)."""
    assert depth is not None  # the family has a depth rule
    return Plan(hidden=(options.width or 10,) * depth)


def mlp(_depth: int | None, options: Options) -> Plan:
    """Hidden layers of any widths (Nguyen, Fig. 3: 784 and 300)."""
    return Plan(hidden=tuple(options.hidden or (784, 300)))


def check_densenet(options: Options) -> None:
    """DenseNet narrows in every layer: 1x1 convolutions to 128 channels, 3x3 ones to 32."""
    check_channels(
        options,
        [
            ("features.conv", options.in_channels, 64),
            ("features.block1.0.conv1", 64, 128),
            ("features.block1.0.conv2", 128, 32),
        ],
    )
