"""The fields of configurations: their dotted keys, their types, and both in words."""

from __future__ import annotations

import dataclasses
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from docstring_parser import parse_from_object

from repro.config.schema import Config


@cache
def hints(kind: type) -> dict[str, Any]:
    """Types of a dataclass's fields: they stand there as text, which takes long to evaluate."""
    return get_type_hints(kind)


@cache
def keys(kind: type = Config, prefix: str = "") -> tuple[str, ...]:
    """Every key that a configuration has, dotted: ``model.network`` ..."""
    names: list[str] = []
    for entry in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints(kind)[entry.name]):
            names += keys(hints(kind)[entry.name], f"{prefix}{entry.name}.")
        else:
            names.append(prefix + entry.name)
    return tuple(names)


GROUPS = tuple(dict.fromkeys(key.partition(".")[0] for key in keys() if "." in key))
"""``model``, ``data`` ..."""


@cache
def field_type(key: str) -> Any:
    """The type of what a key holds; of a group, its dataclass."""
    kind: Any = Config
    for part in key.split("."):
        kind = hints(kind)[part]
    return kind


@cache
def docs(kind: type) -> dict[str, str]:
    """The docstring under each field of a dataclass, its bases' too."""
    parts = [parse_from_object(base) for base in reversed(kind.__mro__) if dataclasses.is_dataclass(base)]
    return {param.arg_name: " ".join((param.description or "").split()) for part in parts for param in part.params}


def allowed(kind: Any) -> str:
    """What a field of this type takes, in words."""
    if kind is None or kind is type(None):
        return "null"
    if get_origin(kind) is Literal:
        return ", ".join(str(choice) for choice in get_args(kind))
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(allowed(choice) for choice in get_args(kind))
    if get_origin(kind) is tuple:
        plural = {
            int: "whole numbers, such as [1,2]",
            float: "numbers, such as [0.5,0.75]",
            str: "names, such as [a,b]",
        }
        return f"a list of {plural[get_args(kind)[0]]}"
    if get_origin(kind) is dict:
        return "keys and values, such as {depth: 3}"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}[kind]


def takes(kind: Any, container: type) -> bool:
    """Whether a field of this type takes a `tuple` (a list), or a `dict` (keys and values)."""
    return any(get_origin(part) is container for part in (kind, *get_args(kind)))


def placeholder(kind: Any) -> str:
    """What stands for a value of this type in a help text: ``{a,b}``, ``N`` ..."""
    if get_origin(kind) is Literal:
        return f"{{{','.join(map(str, get_args(kind)))}}}"
    if get_origin(kind) in (Union, UnionType):
        return "|".join(placeholder(choice) for choice in get_args(kind) if choice is not NoneType)
    if get_origin(kind) is tuple:
        return f"{placeholder(get_args(kind)[0])} [...]"
    if get_origin(kind) is dict:
        return "{NAME: VALUE}"
    return {int: "N", float: "X", bool: "{true,false}"}.get(kind, "TEXT")


@cache
def plain_kinds() -> dict[str, tuple[type, ...]]:
    """Of which types the plain values of each key may be; choices, lists and mappings are the parser's."""
    by_key: dict[str, tuple[type, ...]] = {}
    for key in keys():
        kind = field_type(key)
        several = get_origin(kind) in (Union, UnionType)
        kinds = tuple(part for part in get_args(kind) if part is not str) if several else (kind,)  # "3" may mean 3
        by_key[key] = tuple(part for part in kinds if part in (int, float, str, bool, type(None)))
    return by_key
