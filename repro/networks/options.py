"""What a network can be told: one frozen record of options, their allowed values, and their check. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeGuard

from repro.errors import UserError, unknown
from repro.networks.activations import ACTIVATIONS


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of `repro.networks.create_network`. None stands for the default of the family or of the form."""

    num_classes: int = 10
    in_channels: int = 3
    image_size: int = 32
    """Height and width of the images; it is checked, and passed to networks that must know it."""
    form: str = "small"
    """``small``: 3x3 stem and three stages, for images of some 32 pixels; ``imagenet``: 7x7 stem, pool, 4 stages."""
    width: int | None = None
    """Base width w, the channels of the stem: 16 in the small form, 64 in the ImageNet form."""
    activation: str = "relu"
    """A name in `repro.networks.activations.ACTIVATIONS`; ``identity`` makes a linear network (Oyedotun, 6.4)."""
    gamma: float = 20.0
    """Softplus is (1/gamma) log(1 + exp(gamma t)); read by that activation only."""
    normalization: str = "batch"
    """``batch``: batch normalisation after every convolution; ``none``: none, and the convolutions get a bias."""
    shortcut: str | None = None
    """Where a block changes the shape: ``identity`` (subsample, zero-pad the channels; the small form's default) or
    ``projection`` (strided 1x1 convolution; the ImageNet form's default). Elsewhere it is always the identity."""
    block: str | None = None
    """``basic`` (two 3x3 convolutions) or ``bottleneck`` (1x1, 3x3, 1x1)."""
    groups: int | None = None
    """ResNeXt's number of paths m: 8 in the small form, 32 in the ImageNet form."""
    diagonal: str = "free"
    """DiracNet's diagonal a (Oyedotun, Eq. 28): ``free`` trains it from 1, ``held`` keeps it at 1; ``published`` is
    free, with W normalised and scaled by a trained 0.1, as in the published DiracNets (arXiv:1706.00388)."""
    pretrained: bool = False
    """Pretrained weights, for ``timm/...`` networks."""
    initialization: str = "he"
    """``he``: Gaussian of variance 2 / fan-in; ``truncated``: the same, cut off at two deviations (Nguyen, section 4);
    ``truncated_corrected``: so that its variance is 2 / fan-in after the cut; ``xavier``: uniform, Glorot's."""
    pooling: str | None = None
    """``maxpool`` (VGG's default) or ``stride``: convolutions of stride 2 (CNN13's default)."""
    printed: bool = False
    """CNN13 as its table is printed, with a convolution more than its text and number of neurons say."""
    hidden: tuple[int, ...] | None = None
    """Widths of the hidden layers of ``mlp``: 784 and 300 by default."""
    arguments: Mapping[str, object] | None = None
    """Further keyword arguments of a ``timm/...`` network or of one that is given by import path."""


CHOICES: dict[str, tuple[str, ...]] = {
    "form": ("small", "imagenet"),
    "activation": tuple(ACTIVATIONS),
    "normalization": ("batch", "none"),
    "shortcut": ("identity", "projection"),
    "block": ("basic", "bottleneck"),
    "diagonal": ("free", "held", "published"),
    "initialization": ("he", "truncated", "truncated_corrected", "xavier"),
    "pooling": ("maxpool", "stride"),
}
"""The allowed values of every option that is a choice between names."""

COUNTS = ("num_classes", "in_channels", "image_size", "width", "groups")
"""Options that are whole numbers from 1 up."""

UNIVERSAL = frozenset({"num_classes", "in_channels", "image_size"})
"""Options that the data dictates and every network accepts."""

_DEFAULTS = {field.name: field.default for field in fields(Options)}


def parse_options(given: Mapping[str, object]) -> Options:
    """The record for keyword arguments, every name and value checked.

    Raises:
        UserError: A name that is no option, or a value that the option does not allow.
    """
    for name, value in given.items():
        if name not in _DEFAULTS:
            raise unknown("network option", name, _DEFAULTS)
        if value is None and _DEFAULTS[name] is None:
            continue
        if name in CHOICES and value not in CHOICES[name]:
            raise unknown(name, value, CHOICES[name])
        if name in COUNTS and not (type(value) is int and value > 0):
            raise UserError(f"{name} is {value!r}; it is a whole number from 1 up")
        if name == "gamma" and not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
            raise UserError(f"gamma is {value!r}; it is a number above 0")
        if name in ("pretrained", "printed") and not isinstance(value, bool):
            raise UserError(f"{name} is {value!r}; it is true or false")
        if name == "hidden" and not (_is_sequence(value) and value and all(type(n) is int and n > 0 for n in value)):
            raise UserError(f"hidden is {value!r}; it is a list of whole numbers from 1 up, as [784, 300]")
        if name == "arguments" and not isinstance(value, Mapping):
            raise UserError(f"arguments is {value!r}; it maps keyword arguments to values, as {{drop_rate: 0.1}}")
    hidden = given.get("hidden")
    known = {"arguments": given.get("arguments") or None, "hidden": tuple(hidden) if _is_sequence(hidden) else None}
    return Options(**{**given, **known})  # type: ignore[arg-type]


def _is_sequence(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, list | tuple)


def refuse_options(network: str, options: Options, takes: Collection[str]) -> None:
    """Raise where an option that ``network`` would ignore is set.

    Args:
        network: The network's name, for the message.
        options: All options.
        takes: The options that the network reads, `UNIVERSAL` apart.

    Raises:
        UserError: Names the option and those that the network takes.
    """
    for name, default in _DEFAULTS.items():
        if name not in UNIVERSAL and name not in takes and getattr(options, name) != default:
            allowed = ", ".join(option for option in _DEFAULTS if option in UNIVERSAL or option in takes)
            raise UserError(f"{network} does not take {name} (given: {getattr(options, name)!r}); it takes {allowed}")
