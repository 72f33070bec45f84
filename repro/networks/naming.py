"""From a network's name and options to its family and depth, checked without torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from repro.errors import UserError, unknown
from repro.networks import external as foreign
from repro.networks.family import Family
from repro.networks.options import Options, choices, parse_options, refuse_options
from repro.networks.registry import NETWORKS


def check(name: str, **options: object) -> None:
    """Say what is wrong with a network's name or options, without building it.

    Takes what `repro.networks.create_network` takes. It imports neither torch nor, unless the name starts with
    ``timm/``, timm; of a network given by import path it only sees whether the top-level package exists.

    Raises:
        UserError: Unknown name, depth that the family has not, unknown option or value, option that this network does
            not take, or a combination that cannot be built.
    """
    parsed = parse_options(options)
    if foreign.is_foreign(name):
        foreign.check(name, parsed)
    else:
        find(name, parsed)


def find(name: str, options: Options) -> tuple[Family, int | None, Any]:
    """The family and depth that one of our names stands for, and what is to be built, checked as by `check`."""
    stem, depth = _split(name)
    family = NETWORKS[stem]
    refuse_options(stem, options, family.takes)
    if depth is not None:
        _check_depth(stem, family, depth, options)
    return family, depth, family.spec(depth, options)


def _split(name: str) -> tuple[str, int | None]:
    if name in NETWORKS and NETWORKS[name].depths is None:
        return name, None
    stem = name.rstrip("0123456789")
    digits = name[len(stem) :]
    if stem not in NETWORKS or NETWORKS[stem].depths is None:
        raise unknown(
            "network family",
            stem,
            NETWORKS,
            extra=f"in '{name}': write a family and its depth, as resnet110, or timm/NAME, or package.module:Name",
        )
    if digits != digits.lstrip("0") or not digits:
        raise UserError(f"{name} needs a depth, as {NETWORKS[stem].example(stem)}")
    return stem, int(digits)


def _check_depth(stem: str, family: Family, depth: int, options: Options) -> None:
    assert family.depths is not None
    rule = family.depths(options)
    if depth in rule.values:
        return
    elsewhere = [
        f"; {option} {value} has {depth}"
        for option in ("block", "form")
        if option in family.takes
        for value in choices(option)
        if depth in family.depths(replace(options, **{option: value})).values  # type: ignore[arg-type]
    ]
    nearest = " and ".join(map(str, rule.nearest(depth)))
    raise UserError(f"{stem} has depths {rule.text}: nearest {nearest} (given: {depth}){''.join(elsewhere)}")
