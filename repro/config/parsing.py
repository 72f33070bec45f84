"""YAML files and flags into a `Config`; every mistake into one line. Imports neither torch nor Lightning."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml
from jsonargparse import ArgumentError, ArgumentParser, set_parsing_settings

from repro.config.gone import GONE, refuse_gone
from repro.config.schema import Config
from repro.config.yaml_file import parse_yaml, read_yaml
from repro.errors import UserError, unknown

set_parsing_settings(docstring_parse_attribute_docstrings=True)


@cache
def _hints(kind: type) -> dict[str, Any]:
    """Types of a dataclass's fields: they stand there as text, which takes long to evaluate."""
    return get_type_hints(kind)


@cache
def keys(kind: type = Config, prefix: str = "") -> tuple[str, ...]:
    """Every key that a configuration has, dotted: ``model.network`` ..."""
    found: list[str] = []
    hints = _hints(kind)
    for entry in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[entry.name]):
            found += keys(hints[entry.name], f"{prefix}{entry.name}.")
        else:
            found.append(prefix + entry.name)
    return tuple(found)


def flatten(mapping: Mapping[str, Any], *, source: str = "configuration") -> dict[str, Any]:
    """A nested or dotted mapping as ``{"model.network": ...}``; refuses keys that a configuration does not have."""
    allowed = keys()
    groups = {key.split(".")[0] for key in allowed if "." in key}
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        if key in groups:
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
            level = [*groups, *(name for name in allowed if "." not in name)] if isinstance(value, Mapping) else allowed
            raise unknown("key", key, sorted(level), extra=f"in {source}")
    return flat


_EVALUATION = "Instead of a configuration a run directory may be named first: repro {command} RUN."
_NOTES = {
    "fit": "The same command again goes on, or skips a finished run; --again trains it anew; "
    "--budget MINUTES stops it in time, with a checkpoint.",
    "test": _EVALUATION.format(command="test"),
    "validate": _EVALUATION.format(command="validate"),
}


def _parser(command: str) -> ArgumentParser:
    parser = ArgumentParser(
        prog=f"repro {command}",
        exit_on_error=False,
        description=f"Flags replace what the configuration files say. {_NOTES.get(command, '')}",
    )
    parser.add_argument("--config", metavar="FILE", help="YAML file; may be given several times, later ones win")
    parser.add_class_arguments(Config, as_group=False)
    return parser


@cache
def _checker() -> ArgumentParser:
    """A parser whose defaults nobody changes: making one takes ten times as long as using it."""
    return _parser("fit")


def typed(kind: type, values: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """Values for fields of a dataclass, as their types have them.

    Raises:
        UserError: If one is of another kind, such as text where a list is due.
    """
    for name, value in values.items():
        if value is None and type(None) not in get_args(_hints(kind)[name]):
            raise UserError(f"{source}: '{name}' is empty; give it a value, or leave it out")
    try:
        return dict(_typer(kind, frozenset(values)).parse_object(dict(values), defaults=False).as_dict())
    except ArgumentError as error:
        match = re.match(r'Parser key "([\w.]+)"', str(error))
        what = f"'{match[1]}' is {values.get(match[1].split('.')[0])!r}, which" if match else "it"
        raise UserError(f"{source}: {what} is of the wrong kind") from error


@cache
def _typer(kind: type, names: frozenset[str]) -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    for name, hint in _hints(kind).items():
        if name in names:
            parser.add_argument(f"--{name}", type=hint)
    return parser


def _build(kind: type, values: Mapping[str, Any]) -> Any:
    hints = _hints(kind)
    nested = {
        name: _build(hints[name], value) for name, value in values.items() if dataclasses.is_dataclass(hints[name])
    }
    return kind(**{**values, **nested})


def _allowed(kind: Any) -> str:
    """What a field of this type takes, in words."""
    if kind is None or kind is type(None):
        return "null"
    if get_origin(kind) is Literal:
        return ", ".join(str(choice) for choice in get_args(kind))
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_allowed(choice) for choice in get_args(kind))
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


_MAPPINGS = ("model.arguments", "data.arguments", "measure.every_n_steps")


def _groups() -> set[str]:
    return {f"--{key.partition('.')[0]}" for key in keys() if "." in key}


def _is_a_group(key: str) -> UserError:
    own = ", ".join(f"--{name}" for name in keys() if name.startswith(f"{key}."))
    return UserError(f"--{key} is a group; its flags are {own}")


def _one_line(error: ArgumentError) -> UserError:
    """Turn a message of the parser's into ours: what was given, what is allowed, what is nearest."""
    text = str(error)
    if match := re.match(r"unrecognized arguments: (\S+)", text):
        flag = match[1].split("=")[0]
        refuse_gone(flag)
        if flag.startswith("--"):
            return unknown("flag", flag, [f"--{key}" for key in keys()], extra="see repro fit --help")
        return UserError(f"unexpected argument '{match[1]}'; options are written --key value")
    if match := re.match(r'Parser key "([\w.]+)":', text):
        key = match[1]
        given = re.search(r"(?:Got|Given) value: (.*)", text)
        kind = _hint(key)
        if dataclasses.is_dataclass(kind):
            return _is_a_group(key)
        if given and get_origin(kind) is Literal:
            return unknown(f"value of {key}", given[1], get_args(kind))
        return UserError(f"{key} is '{given[1] if given else '?'}'; allowed: {_allowed(kind)}")
    return UserError(text)


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
        if value is None and type(None) not in _kinds()[key]:  # the parser takes it for everything
            raise UserError(f"{source}: {key} is empty (null); allowed: {_allowed(_hint(key))}")
    try:
        checked = _checker().parse_object(_nested(asked), defaults=False).as_dict() if asked else {}
    except ArgumentError as error:
        raise UserError(f"{source}: {_one_line(error)}") from error
    found = {}
    for key, value in flat.items():
        group, dot, name = key.partition(".")
        found[key] = value if key not in asked else checked[group][name] if dot else checked[key]
    return found


def _hint(key: str) -> Any:
    """The type of a configuration key."""
    kind: Any = Config
    for part in key.split("."):
        kind = _hints(kind)[part]
    return kind


def _spelled(key: str, value: Any) -> Any:
    """A number that YAML reads where a choice is due, as the text that it is: ``precision: 32``."""
    plain = type(value) is int and key in keys() and get_origin(_hint(key)) is Literal
    return str(value) if plain and str(value) in get_args(_hint(key)) else value


@cache
def _kinds() -> dict[str, tuple[type, ...]]:
    """Of which types the plain values of each key may be; choices, lists and mappings are the parser's."""
    found: dict[str, tuple[type, ...]] = {}
    for key in keys():
        kind = _hint(key)
        several = get_origin(kind) in (Union, UnionType)
        kinds = tuple(each for each in get_args(kind) if each is not str) if several else (kind,)  # "3" may mean 3
        found[key] = tuple(each for each in kinds if each in (int, float, str, bool, type(None)))
    return found


def _plain(key: str, value: Any) -> bool:
    """Whether a value plainly is what its field takes: the parser would return it, a hundred times as slowly."""
    return type(value) in _kinds().get(key, ())


def from_mapping(mapping: Mapping[str, Any], *, source: str = "configuration") -> Config:
    """A `Config` from a nested or dotted mapping, checked like a file.

    Raises:
        UserError: For an unknown key or a value of the wrong kind.
    """
    config = _build(Config, _nested(_as_fields(flatten(mapping, source=source), source)))
    assert isinstance(config, Config)
    return config


def load(path: str | Path) -> Config:
    """The `Config` in a YAML file."""
    return from_mapping(read_yaml(path), source=f"'{path}'")


def _refuse_gone(content: Mapping[str, Any]) -> None:
    """Of a user's own file: what it asks for and cannot have. An older run's is read as if it did not."""
    for key in GONE:
        group, _, name = key.partition(".")
        values = content.get(group)
        if content.get(key) or (isinstance(values, Mapping) and values.get(name)):
            refuse_gone(key)


def parse(arguments: Sequence[str], *, command: str = "fit", start: Config | None = None) -> tuple[Config, Config]:
    """Flags and ``--config`` files into a configuration.

    Args:
        arguments: The command line after the command's name.
        command: The command's name, for the help page.
        start: What files and flags build on. Default: the defaults of the schema.

    Returns:
        The configuration, and its base: what the files alone say. The run is named after the difference.

    Raises:
        UserError: One line for any mistake. ``--help`` prints and raises `SystemExit` with status 0.
    """
    base = to_flat(start) if start else {}
    rest: list[str] = []
    pending = iter(arguments)
    for argument in pending:
        if argument == "--config" or argument.startswith("--config="):
            path = argument.partition("=")[2] or next(pending, None)
            if path is None:
                raise UserError("--config needs a file")
            content = read_yaml(path)
            _refuse_gone(content)
            base |= _as_fields(flatten(content, source=f"'{path}'"), f"'{path}'")
        else:
            rest.append(argument)
        if argument.partition("=")[0] in _groups():  # the parser would take a file for it, or import a class
            raise _is_a_group(argument.partition("=")[0].removeprefix("--"))
    _check_mappings(rest)
    parser = _parser(command)
    parser.set_defaults(base)
    try:
        values = parser.parse_args(rest).as_dict()
    except ArgumentError as error:
        raise _one_line(error) from error
    del values["config"]
    return _build(Config, values), _build(Config, _nested(base))


def _check_mappings(arguments: Sequence[str]) -> None:
    """Refuse flags whose value is a mapping with a key twice: the parser would take the last without a word."""
    for place, argument in enumerate(arguments):
        flag, given, value = argument.partition("=")
        if flag.removeprefix("--") in _MAPPINGS:
            parse_yaml(value if given else "".join(arguments[place + 1 : place + 2]), flag)


def to_flat(config: Config) -> dict[str, Any]:
    """A configuration as ``{"model.network": ...}``, in the schema's order."""
    nested = dataclasses.asdict(config)
    return {key: nested[key.split(".")[0]][key.split(".")[1]] if "." in key else nested[key] for key in keys()}


def to_yaml(config: Config) -> str:
    """The complete configuration as YAML that `load` reads back to an equal one."""
    plain = dataclasses.asdict(config)
    for group in plain.values():
        if isinstance(group, dict):
            group.update({key: list(value) for key, value in group.items() if isinstance(value, tuple)})
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
