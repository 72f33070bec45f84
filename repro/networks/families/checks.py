"""What normalisation and initialisation ask of a network's channels, checked without torch."""

from __future__ import annotations

from collections.abc import Iterable

from repro.errors import UserError
from repro.networks.options import Options

Convolution = tuple[str, int, int]
"""A convolution's name, the channels that it reads and those that it writes."""


def norm_groups(options: Options) -> int:
    """Groups of group normalisation; 1, all channels together, for normalization layer."""
    if options.normalization == "layer":
        return 1
    return options.normalization_groups or (32 if options.form == "imagenet" else 8)


def check_channels(options: Options, convolutions: Iterable[Convolution]) -> None:
    """Refuse channels that group normalisation cannot split, or that delta_orthogonal cannot map without loss.

    The convolutions come in forward order, shortcuts left out; the error names the first that does not fit.
    """
    if options.normalization_groups is not None and options.normalization != "group":
        raise UserError("normalization_groups is for normalization group; set both, or neither")
    groups = norm_groups(options) if options.normalization == "group" else 1
    narrowing = options.initialization == "delta_orthogonal"
    for number, (name, reads, writes) in enumerate(convolutions, 1):
        if writes % groups:
            raise UserError(
                f"normalization group cannot split the {writes} channels of layer {number} ({name}) into {groups} "
                f"groups; make normalization_groups a divisor of {writes}"
            )
        if narrowing and writes < reads:
            raise UserError(
                f"delta_orthogonal keeps every channel, and layer {number} ({name}) reads {reads} and writes {writes}; "
                f"it needs {reads} or more: take blocks that do not narrow, or initialization orthogonal"
            )
