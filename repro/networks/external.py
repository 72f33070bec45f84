"""Networks from elsewhere: ``timm/NAME``, and a user's own class or function by import path ``package.module:Name``."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from repro.errors import UserError, first_line
from repro.importing import check_path, load_own
from repro.networks.options import CHOSEN, UNIVERSAL, Options, refuse_options

if TYPE_CHECKING:
    from torch import nn

TIMM = "timm/"

_NAMES_FILES = {"cache_dir", "checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay"}
"""Arguments of `timm.create_model` that say what to read or fetch: a configuration may come from a stranger."""


def is_foreign(name: str) -> bool:
    """Whether a network's name points outside of this package."""
    return name.startswith(TIMM) or ":" in name


def takes(name: str) -> frozenset[str]:
    """The options that a network from elsewhere takes."""
    return frozenset({"pretrained", "arguments"} if name.startswith(TIMM) else {"arguments"})


def left_out(name: str, said: Mapping[str, Any]) -> list[str]:
    """The keys with which a file says of its own network what this one does not take; none for one of ours. Says so."""
    refused = {f"model.{option}" for option in CHOSEN if option not in takes(name)} if is_foreign(name) else set()
    keys = [key for key in said if key in refused]
    if keys:
        note_left_out(name, ", ".join(f"{key.removeprefix('model.')} {said[key]}" for key in keys))
    return keys


@cache
def note_left_out(name: str, told: str) -> None:
    """Say once on stderr what a file says of its network and does not hold for this one."""
    print(f"repro: note: {name} does not take what the file says of its network; left out: {told}", file=sys.stderr)


def check(name: str, options: Options) -> None:
    """What can be said without building the network: unknown names and options. Only ``timm/`` names import timm."""
    refuse_options(name, options, takes(name))
    if name.startswith(TIMM):
        _check_timm(name, options)
    else:
        check_path(name, "network")


def create(name: str, options: Options) -> nn.Module:
    """Build the network that `check` has passed.

    A timm network gets ``num_classes``, ``in_chans`` and ``pretrained``, and ``img_size`` where timm says that it is
    tied to one image size. A network by import path gets those of ``num_classes``, ``in_channels`` and ``image_size``
    that its signature names (a bare ``**kwargs`` gets ``num_classes`` only, since almost every classifier knows it).
    The option ``arguments`` is added to both, and wins. `UserError` if the weights cannot be had, the import fails, or
    the arguments do not fit.
    """
    return _create_timm(name, options) if name.startswith(TIMM) else _create_imported(name, options)


def _check_timm(name: str, options: Options) -> None:
    import timm

    if files := _NAMES_FILES & set(options.arguments or {}):
        raise UserError(f"{name} does not take {', '.join(sorted(files))} here; weights come by pretrained alone")
    model = name.removeprefix(TIMM)
    if not timm.is_model(model):
        near = difflib.get_close_matches(model, timm.list_models(), n=3, cutoff=0.5)
        raise UserError(
            f"unknown timm network '{model}'; nearest: {', '.join(near) or 'none'}; timm.list_models() lists them all"
        )
    try:
        timm.get_pretrained_cfg(model)
    except RuntimeError as error:  # an unknown tag after the dot
        tags = ", ".join(timm.list_pretrained(f"{model.partition('.')[0]}.*"))
        raise UserError(f"unknown timm network '{model}'; with pretrained weights there are: {tags}") from error
    if options.pretrained and not timm.is_model_pretrained(model):
        raise UserError(f"timm has no pretrained weights for '{model}'; leave pretrained off")


def _create_timm(name: str, options: Options) -> nn.Module:
    import timm

    model = name.removeprefix(TIMM)
    arguments: dict[str, Any] = {"num_classes": options.num_classes, "in_chans": options.in_channels}
    cfg = timm.get_pretrained_cfg(model)
    if cfg is not None and cfg.fixed_input_size and cfg.input_size[-1] != options.image_size:
        arguments["img_size"] = options.image_size
    arguments |= options.arguments or {}
    try:
        network: nn.Module = timm.create_model(model, pretrained=options.pretrained, **arguments)
    except TypeError as error:
        raise UserError(f"{name} does not accept the arguments {_listing(arguments)}: {error}") from error
    except Exception as error:
        if not options.pretrained:
            raise
        raise UserError(
            f"could not get the pretrained weights of {name} ({type(error).__name__}: {first_line(error)}); create it"
            " once on a machine with network access, so that they lie in the cache (HF_HOME), or leave pretrained off"
        ) from error
    return network


def _create_imported(name: str, options: Options) -> nn.Module:
    from torch import nn

    builder = load_own(name, "network", of="torch.nn:Module")
    signature = inspect.signature(builder)
    arguments: dict[str, Any] = {key: getattr(options, key) for key in sorted(UNIVERSAL) if key in signature.parameters}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values()):
        arguments["num_classes"] = options.num_classes
    arguments |= options.arguments or {}
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise UserError(f"{name}{signature} does not accept {_listing(arguments)}: {error}") from error
    network = builder(**arguments)
    if not isinstance(network, nn.Module):
        raise UserError(f"{name} returned a {type(network).__name__}; it must return a torch.nn.Module")
    return network


def _listing(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in arguments.items())
