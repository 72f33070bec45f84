"""YAML files and flags into a `Config`; every mistake into one line. Imports neither torch nor Lightning."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

from jsonargparse import ArgumentError, ArgumentParser

from repro.config.fields import GROUPS, allowed, field_type, hints, keys, plain_kinds, takes
from repro.config.flags import checker, configuration_parser, is_a_group, one_line
from repro.config.gone import GONE, refuse_gone
from repro.config.schema import Config
from repro.config.yaml_file import dump_yaml, mapping_of, parse_yaml, read_text, read_yaml
from repro.errors import UserError, unknown


def flatten(mapping: Mapping[str, Any], *, source: str = "configuration") -> dict[str, Any]:
    """A nested or dotted mapping as ``{"model.network": ...}``; refuses keys that a configuration does not have."""
    allowed = keys()
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        if key in GROUPS:
            if not isinstance(value, Mapping):
                raise UserError(f"{source}: '{key}' is {value!r}; it holds keys and values, such as network: resnet110")
            entries = {f"{key}.{inner}": content for inner, content in value.items()}
        else:
            entries = {str(key): value}
        if twice := flat.keys() & entries.keys():
            raise UserError(
                f"{source}: {', '.join(sorted(twice))} is there twice, as a.b and in a: {{b}}; leave one out"
            )
        flat |= entries
    for key in [key for key in flat if key in GONE]:  # of a run that an older version made
        del flat[key]
    for key, value in flat.items():
        if key not in allowed:
            level = [*GROUPS, *(name for name in allowed if "." not in name)] if isinstance(value, Mapping) else allowed
            raise unknown("key", key, sorted(level), extra=f"in {source}")
    return flat


def _build(kind: type, values: Mapping[str, Any]) -> Any:
    kinds = hints(kind)
    nested = {
        name: _build(kinds[name], value) for name, value in values.items() if dataclasses.is_dataclass(kinds[name])
    }
    return kind(**{**values, **nested})


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        group, dot, name = key.partition(".")
        if dot:
            nested.setdefault(group, {})[name] = value
        else:
            nested[key] = value
    return nested


def _as_fields(flat: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Values as their fields' types have them; the parser checks flags, not defaults, so this checks files."""
    flat = {key: _spelled(key, value) for key, value in flat.items()}
    asked = {key: value for key, value in flat.items() if not _plain(key, value)}
    for key, value in asked.items():
        if value is None and type(None) not in plain_kinds()[key]:  # the parser takes it for everything
            raise UserError(f"{source}: {key} is empty (null); allowed: {allowed(field_type(key))}")
    try:
        return {key: _checked(key, value) if key in asked else value for key, value in flat.items()}
    except ArgumentError as error:
        raise UserError(f"{source}: {one_line(error)}") from error


_CHECKED: dict[tuple[str, str], Any] = {}


def _checked(key: str, value: Any) -> Any:
    """A value as its field's type has it, by the parser; what it has said of a short one is remembered."""
    at = (key, repr(value))
    if at not in _CHECKED:
        group, _, name = key.partition(".")
        checked = checker().parse_object(_nested({key: value}), defaults=False).as_dict()[group]
        checked = checked[name] if name else checked
        if len(at[1]) > 200:
            return checked
        _CHECKED[at] = checked
    return copy.deepcopy(_CHECKED[at])


def _spelled(key: str, value: Any) -> Any:
    """A number that YAML reads where a choice is due, as the text that it is: ``precision: 32``."""
    choice = type(value) is int and key in keys() and get_origin(field_type(key)) is Literal
    return str(value) if choice and str(value) in get_args(field_type(key)) else value


def _plain(key: str, value: Any) -> bool:
    """Whether a value plainly is what its field takes: the parser would return it, a hundred times as slowly."""
    return type(value) in plain_kinds().get(key, ())


def from_mapping(mapping: Mapping[str, Any], *, source: str = "configuration") -> Config:
    """A `Config` from a nested or dotted mapping, checked like a file."""
    config = _build(Config, _nested(_as_fields(flatten(mapping, source=source), source)))
    assert isinstance(config, Config)
    return config


def checked(source: str, **options: Any) -> Config:
    """A `Config` from a Python caller's options, checked like a file; NumPy's and torch's numbers are plain ones."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: plain(content) for key, content in value.items()}
        return value.item() if hasattr(value, "item") else value

    return from_mapping(plain(options), source=source)


def load(path: str | Path) -> Config:
    """The `Config` in a YAML file."""
    return _written(read_text(path), f"'{path}'")


@lru_cache(maxsize=1024)
def _written(text: str, source: str) -> Config:
    """The `Config` that a text stands for: a report reads a run's file several times."""
    return from_mapping(mapping_of(text, source), source=source)


def _refuse_gone(content: Mapping[str, Any]) -> None:
    """Refuse a user's file that asks for what there is no longer; an older run's file is read without that."""
    for key in GONE:
        group, _, name = key.partition(".")
        values = content.get(group)
        if content.get(key) or (isinstance(values, Mapping) and values.get(name)):
            refuse_gone(key)


class Written(NamedTuple):
    """A command line that has been read."""

    config: Config
    base: Config
    """What the files alone say: the run is named after the difference."""
    own: dict[str, Any]
    """The options that the command has beside those of configurations."""
    typed: dict[str, Any]
    """What the flags say."""


def parse(
    arguments: Sequence[str],
    parser: ArgumentParser | None = None,
    *,
    start: Callable[[Mapping[str, Any]], Config | None] = lambda _own: None,
) -> Written:
    """Flags and ``--config`` files, by a command's parser (`configuration_parser`), into a configuration.

    `start` makes what they build on of the command's own options; without it, the schema's defaults. ``--help`` prints
    and raises `SystemExit`.
    """
    parser = parser or configuration_parser()
    files, rest = _split(_lists(arguments))
    _check_mappings(rest)
    fields = {entry.name for entry in dataclasses.fields(Config)}
    try:
        typed = parser.parse_args(rest, defaults=False).as_dict()
        own = {name: value for name, value in typed.items() if name not in fields}
        built = start(own)
        base = (to_flat(built) if built else {}) | files
        parser.set_defaults(base)
        values = parser.parse_args(rest).as_dict()
    except ArgumentError as error:
        raise one_line(error, parser) from error
    config = _build(Config, {name: value for name, value in values.items() if name in fields})
    flags = {name: value for name, value in typed.items() if name in fields}
    return Written(config, _build(Config, _nested(base)), own, flatten(flags))


def _lists(arguments: Sequence[str]) -> list[str]:
    """A command line with its lists as the parser takes them: ``--measure.layers 1 -3`` as ``[1,-3]``."""
    words: list[str] = []
    pending = list(arguments)
    while pending:
        words.append(flag := pending.pop(0))
        if flag.startswith("--") and flag[2:] in keys() and takes(field_type(flag[2:]), tuple):
            values = list(itertools.takewhile(lambda word: not word.startswith("--") and word != "-h", pending))
            if values and all(values) and values[0] not in ("log", "null") and not values[0].startswith("["):
                words.append(f"[{','.join(values)}]")
                del pending[: len(values)]
    return words


def _split(arguments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """What the files of a command line say, and the rest of it."""
    content: dict[str, Any] = {}
    rest: list[str] = []
    pending = iter(arguments)
    for argument in pending:
        flag, _, path = argument.partition("=")
        if flag.startswith("--") and flag[2:] in GROUPS:  # the parser would take a file for it, or import a class
            raise is_a_group(flag[2:])
        if flag != "--config":
            rest.append(argument)
            continue
        if not path and (path := next(pending, "")) == "":
            raise UserError("--config needs a file")
        written = read_yaml(path)
        _refuse_gone(written)
        content |= _as_fields(flatten(written, source=f"'{path}'"), f"'{path}'")
    return content, rest


def _check_mappings(arguments: Sequence[str]) -> None:
    """Refuse flags whose value is a mapping with a key twice: the parser would take the last without a word."""
    for number, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag.startswith("--") and flag[2:] in keys() and takes(field_type(flag[2:]), dict):
            parse_yaml(value if equals else "".join(arguments[number + 1 : number + 2]), flag)


def to_flat(config: Config) -> dict[str, Any]:
    """A configuration as ``{"model.network": ...}``, in the schema's order."""
    nested = dataclasses.asdict(config)
    return {key: nested[key.split(".")[0]][key.split(".")[1]] if "." in key else nested[key] for key in keys()}


def to_yaml(config: Config) -> str:
    """The complete configuration as YAML that `load` reads back to an equal one."""
    return dump_yaml(dataclasses.asdict(config))
