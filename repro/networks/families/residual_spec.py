"""The blocks, widths and shortcuts of PlainNet, ResNet, ResNeXt and DiracNet, worked out and checked without torch.

One skeleton (`repro.networks.families.residual`) builds all four from a `Layout`; the functions below say in what they
differ. With w the base width and s = 0, 1, ... the stage:

====================  =======================  =================  ====================================
block                 inside                   block output       depth in the small form
====================  =======================  =================  ====================================
basic                 w · 2^s                  w · 2^s            6n+2 (two 3x3 convolutions a block)
bottleneck            w · 2^s                  4w · 2^s           9n+2 (1x1, 3x3, 1x1)
ResNeXt, bottleneck   2w · 2^s, in m groups    4w · 2^s           9n+2 (1x1, grouped 3x3, 1x1)
ResNeXt, basic        m paths of w · 2^s       w · 2^s            6n+2 (Oyedotun, Eq. 4)
====================  =======================  =================  ====================================

ImageNet form: torchvision's ResNet (stride on the 3x3 convolution), and ResNeXt 32x4d, which is the third row for
w = 64 and m = 32; the small ResNeXt is the same row for w = 16 and m = 8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from repro.errors import UserError
from repro.networks.families.checks import Convolution, check_channels
from repro.networks.family import Depths
from repro.networks.options import Dial, Options

CONVOLUTIONS = {"basic": 2, "bottleneck": 3}
IMAGENET_STAGES: dict[str, dict[int, tuple[int, ...]]] = {
    "basic": {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)},
    "bottleneck": {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)},
}
SMALLEST_IMAGE = {"small": 4, "imagenet": 32}
"""The size from which on every halving still halves: two of them, or five."""


@dataclass(frozen=True)
class Stage:
    """Blocks of one resolution."""

    blocks: int
    inside: int
    """Channels between the convolutions of a block."""
    outside: int
    """Channels of a block's output."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Everything that the skeleton is built from."""

    form: str
    block: str
    stem: int
    """Channels of the stem."""
    stages: tuple[Stage, ...]
    groups: int = 1
    """Groups of a bottleneck's 3x3 convolution."""
    shortcut: str | None = None
    """Which shortcut joins the blocks; None for no shortcuts at all (PlainNet, DiracNet, a dial at 0)."""
    strength: Dial = 1.0
    """What multiplies the shortcut."""
    residual: str = "standard"
    """``standard``, ``rezero`` or ``fixup``."""
    diagonal: str | None = None
    """None for ordinary convolutions; ``free`` or ``held`` for W + diag(a) in the blocks."""

    def convolutions(self, in_channels: int) -> Iterator[Convolution]:
        """The convolutions in forward order, shortcuts left out."""
        yield "stem.conv1", in_channels, self.stem
        reads, middle = self.stem, CONVOLUTIONS[self.block] - 2
        for index, stage in enumerate(self.stages):
            for number in range(stage.blocks):
                writes = [stage.inside] * (middle + 1) + [stage.outside]
                for place, channels in enumerate(writes, 1):
                    yield f"stages.{index}.{number}.path.conv{place}", reads, channels
                    reads = channels


def depths(options: Options, *, block: str | None = None) -> Depths:
    """The depths of a family.

    ``block`` is its kind of block where the options name none; None: basic, in the ImageNet form either.
    """
    block = options.block or block
    if options.form == "imagenet":
        blocks = [block] if block else list(IMAGENET_STAGES)
        values = tuple(depth for name in blocks for depth in IMAGENET_STAGES[name])
        return Depths(values, f"{', '.join(map(str, values))} (imagenet form, {' and '.join(blocks)} blocks)")
    block = block or "basic"
    step = 3 * CONVOLUTIONS[block]
    return Depths(range(step + 2, 10_000, step), f"{step}n+2 ({block} blocks)")


def plainnet(depth: int | None, options: Options) -> Layout:
    """No shortcuts (Oyedotun, Eq. 1)."""
    return _layout(depth, options, block=options.block, shortcut=None)


def resnet(depth: int | None, options: Options) -> Layout:
    """A shortcut around every block (Oyedotun, Eq. 2)."""
    return _layout(depth, options, block=options.block, shortcut=_shortcut(options))


def resnext(depth: int | None, options: Options) -> Layout:
    """Several paths in every block, and a shortcut (Oyedotun, Eq. 4).

    ``groups`` is m, the number of paths. In a bottleneck it splits a fixed number of channels, so that the cost hardly
    depends on it; in a basic block every path has the full width, as Eq. 4's n x n matrices say, and the cost is m
    times ResNet's.
    """
    paths = options.groups or (32 if options.form == "imagenet" else 8)
    return _layout(depth, options, block=options.block or "bottleneck", shortcut=_shortcut(options), paths=paths)


def diracnet(depth: int | None, options: Options) -> Layout:
    """No shortcuts; the blocks' weights hold the identity (Oyedotun, Eq. 28). The stem is ordinary, as in DiracNets."""
    return _layout(depth, options, block="basic", shortcut=None, diagonal=options.diagonal)


def _shortcut(options: Options) -> str | None:
    """None for a dial at 0: no shortcut is made, so that parameters and draws are PlainNet's."""
    _check_residual(options)
    if options.skip_strength == 0:
        return None
    return options.shortcut or ("projection" if options.form == "imagenet" else "identity")


def _check_residual(options: Options) -> None:
    if options.residual != "standard" and options.skip_strength == 0:
        raise UserError(f"residual {options.residual} is a way to use skip connections; skip_strength 0 has none")
    if options.residual == "fixup" and options.normalization != "none":
        raise UserError(f"residual fixup does without normalisation (given: {options.normalization}); set it to none")
    if options.residual == "fixup" and options.preactivation:
        raise UserError("residual fixup activates after the addition; set preactivation false")


def _layout(
    depth: int | None,
    options: Options,
    *,
    block: str | None,
    shortcut: str | None,
    paths: int | None = None,
    diagonal: str | None = None,
) -> Layout:
    assert depth is not None  # the families below have a depth rule
    smallest = SMALLEST_IMAGE[options.form]
    if options.image_size < smallest:
        raise UserError(
            f"image_size {options.image_size} is too small for the {options.form} form; it needs {smallest} or more"
            + (", or take form small" if options.form == "imagenet" else "")
        )
    if options.form == "imagenet":
        block = block or ("basic" if depth in IMAGENET_STAGES["basic"] else "bottleneck")
        counts = IMAGENET_STAGES[block][depth]
        width = options.width or 64
    else:
        block = block or "basic"
        counts = ((depth - 2) // (3 * CONVOLUTIONS[block]),) * 3
        width = options.width or 16

    inside, outside, groups = (width, width, 1) if block == "basic" else (width, 4 * width, 1)
    if paths and block == "basic":
        inside = paths * width
    elif paths:
        inside, groups = 2 * width, paths
        if inside % groups:
            raise UserError(
                f"width {width} does not go with groups {groups}: a ResNeXt block splits 2 x width = {inside} channels"
                f" into that many groups; make groups a divisor of {inside}"
            )
    stages = tuple(Stage(blocks, inside << index, outside << index) for index, blocks in enumerate(counts))
    layout = Layout(
        form=options.form,
        block=block,
        stem=width,
        stages=stages,
        groups=groups,
        shortcut=shortcut,
        strength=1.0 if options.skip_strength is None else options.skip_strength,
        residual=options.residual,
        diagonal=diagonal,
    )
    check_channels(options, layout.convolutions(options.in_channels))
    return layout
