"""What a network can be told: one frozen record of options, their allowed values, and their check. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, reduce
from operator import or_
from types import NoneType
from typing import Any, Literal, TypeGuard, get_args, get_origin, get_type_hints

from repro.errors import UserError, unknown
from repro.networks.activations import Activation

Form = Literal["small", "imagenet"]
Normalization = Literal["batch", "none", "group", "layer"]
Shortcut = Literal["identity", "projection"]
Block = Literal["basic", "bottleneck"]
Diagonal = Literal["free", "held", "published"]
Initialization = Literal["he", "truncated", "truncated_corrected", "xavier", "orthogonal", "delta_orthogonal"]
Pooling = Literal["maxpool", "stride"]
Residual = Literal["standard", "rezero", "fixup"]
Dial = float | Literal["learned"]
"""How strong skip connections are: 0 for none, 1 for whole, anything between them, or trained."""


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """What a user chooses of a network: each field is a flag, a key of configurations and an option of the networks.

    A type says what is allowed: names (Literal), whole numbers from 1 up, numbers above 0. A docstring is the help.
    """

    form: Form = "small"
    """Small images (3x3 stem, three stages) or ImageNet (7x7 stem, pool, four stages)."""
    width: int | None = None
    """Base width: channels of the first stage. Default: 16 for form small, 64 for imagenet."""
    activation: Activation = "relu"
    """Activation function; identity gives the linear networks of Oyedotun 6.4."""
    gamma: float = 20.0
    """Softplus is (1/gamma) log(1 + exp(gamma t)) (Nguyen, section 4)."""
    slope: float = 0.01
    """What leaky_relu multiplies negative numbers by: near 0 it is ReLU, at 1 the identity."""
    normalization: Normalization = "batch"
    """Normalisation after each convolution: over the batch; none (convolutions then have a bias); or over each image
    alone, by groups of channels (group, Wu and He 2018) or over all channels (layer)."""
    normalization_groups: int | None = None
    """Number of channel groups for normalization group. Default: 8 for form small, 32 for imagenet."""
    shortcut: Shortcut | None = None
    """Shortcut where the shape changes: subsampling with channels of zeros added, or a strided 1x1 convolution.
    Default: identity for form small, projection for imagenet."""
    preactivation: bool = False
    """Normalise and activate before each convolution of a block instead of after it (He et al. 2016, "Identity
    mappings"), and once more after the last block."""
    skip_strength: Dial | None = None
    """α in path(h) + α · shortcut(h): a number from 0 to 1, or learned for each block (starts at 1). Default: 1."""
    residual: Residual = "standard"
    """How path and shortcut are added: standard; rezero, with a learned scale of each path that starts at 0; fixup,
    with Fixup's scalars and initial weights, without normalisation."""
    block: Block | None = None
    """Convolutions of a block: two of 3x3, or 1x1, 3x3, 1x1. Default: the family's own."""
    groups: int | None = None
    """Number of paths of a ResNeXt block. Default: 8 for form small, 32 for imagenet."""
    diagonal: Diagonal = "free"
    """DiracNet's a (Oyedotun Eq. 28): trained, starting at 1; held at 1; or as published: trained, with W normalised
    and scaled by 0.1."""
    initialization: Initialization = "he"
    """Gaussian of variance 2 / fan-in (he); the same, truncated at two deviations (Nguyen), without or with a corrected
    variance; Glorot's (xavier); an orthogonal unfolded kernel; or orthogonal at the kernel's centre and zero elsewhere
    (Xiao et al. 2018)."""
    pooling: Pooling | None = None
    """Downsampling by max-pooling or by convolutions of stride 2. Default: maxpool for VGG, stride for CNN13."""
    printed: bool = False
    """CNN13 as Nguyen's Table 3 prints it: one convolution and 25,088 neurons more than its caption counts."""
    hidden: tuple[int, ...] | None = None
    """Widths of the hidden layers of mlp. Default: 784 and 300 (Nguyen, Fig. 3)."""
    pretrained: bool = False
    """Load the pretrained weights of timm/NAME."""
    arguments: dict[str, Any] | None = None
    """Further keyword arguments for timm/NAME or package.module:Name."""


@dataclass(frozen=True, kw_only=True)
class Options(NetworkOptions):
    """The options of `repro.networks.create_network`. None stands for the default of the family or of the form."""

    num_classes: int = 10
    in_channels: int = 3
    image_size: int = 32
    """Height and width of the images; it is checked, and passed to networks that must know it."""


CHOSEN = tuple(field.name for field in fields(NetworkOptions))
"""Options that the user chooses."""

UNIVERSAL = frozenset(field.name for field in fields(Options)) - {*CHOSEN}
"""Options that the data dictates and every network accepts."""

_DEFAULTS = {field.name: field.default for field in sorted(fields(Options), key=lambda field: field.name in CHOSEN)}


@cache
def kind(name: str) -> Any:
    """What an option may be beside None: ``int``, ``Literal["basic", "bottleneck"]``, ``tuple[int, ...]`` ..."""
    hint = _hints()[name]
    alternatives = get_args(hint)
    return reduce(or_, (each for each in alternatives if each is not NoneType)) if NoneType in alternatives else hint


@cache
def _hints() -> dict[str, Any]:
    return get_type_hints(Options)


def choices(name: str) -> tuple[str, ...]:
    """The allowed values of an option that is a choice between names; of another, none."""
    return get_args(kind(name)) if get_origin(kind(name)) is Literal else ()


def parse_options(options: Mapping[str, object]) -> Options:
    """The record for keyword arguments, every name and value checked."""
    for name, value in options.items():
        if name not in _DEFAULTS:
            raise unknown("network option", name, _DEFAULTS)
        if value is None and _DEFAULTS[name] is None:
            continue
        if (names := choices(name)) and value not in names:
            raise unknown(name, value, names)
        if allowed := _refused(kind(name), value):
            raise UserError(f"{name} is {value!r}; it {allowed}")
    arguments, hidden = options.get("arguments") or None, options.get("hidden")
    hidden = tuple(hidden) if _is_sequence(hidden) else None
    numbers = {
        name: float(value) for name, value in options.items() if type(value) is int and kind(name) in (float, Dial)
    }
    return Options(**{**options, **numbers, "arguments": arguments, "hidden": hidden})  # type: ignore[arg-type]


def is_dial(value: object) -> bool:
    """Whether a value is one of `Dial`."""
    return value == "learned" or (isinstance(value, int | float) and type(value) is not bool and 0 <= value <= 1)


def _refused(kind: object, value: object) -> str:
    """What is allowed where a value is not; otherwise nothing."""
    if kind == Dial and not is_dial(value):
        return "is a number from 0 to 1, or learned"
    kind = get_origin(kind) or kind
    if kind is int and not _is_count(value):
        return "is a whole number from 1 up"
    if kind is float and not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
        return "is a number above 0"
    if kind is bool and not isinstance(value, bool):
        return "is true or false"
    if kind is tuple and not (_is_sequence(value) and value and all(map(_is_count, value))):
        return "is a list of whole numbers from 1 up, as [784, 300]"
    if kind is dict and not isinstance(value, Mapping):
        return "maps keyword arguments to values, as {drop_rate: 0.1}"
    return ""


def _is_count(value: object) -> bool:
    return type(value) is int and value > 0


def _is_sequence(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, list | tuple)


def refuse_options(network: str, options: Options, takes: Collection[str]) -> None:
    """Raise where an option is set that the network of this name does not take, `UNIVERSAL` apart."""
    for name, default in _DEFAULTS.items():
        if name not in UNIVERSAL and name not in takes and getattr(options, name) != default:
            allowed = ", ".join(option for option in _DEFAULTS if option in UNIVERSAL or option in takes)
            raise UserError(f"{network} does not take {name} (given: {getattr(options, name)!r}); it takes {allowed}")
