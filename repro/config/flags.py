"""The parser of a configuration's flags, its help, and its messages in one line."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin

from jsonargparse import ArgumentError, ArgumentParser, set_parsing_settings

from repro.config.fields import GROUPS, allowed, field_type, hints, keys, placeholder
from repro.config.gone import refuse_gone
from repro.config.schema import Config
from repro.errors import UserError, unknown

set_parsing_settings(docstring_parse_attribute_docstrings=True)


def configuration_parser(prog: str = "repro fit", notes: Mapping[str, str] = MappingProxyType({})) -> ArgumentParser:
    """A parser of every key of a configuration as a flag, to which a command may add its own.

    `notes` are added to the help of some keys, such as the names that there are.
    """
    parser = ArgumentParser(prog=prog, formatter_class=argparse.RawDescriptionHelpFormatter, exit_on_error=False)
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="YAML file; may be repeated: later files win over earlier ones, flags over files",
    )
    parser.add_class_arguments(Config, as_group=False)
    defaults = parser.get_defaults()
    for action in parser._actions:
        if action.dest in GROUPS:
            action.help = argparse.SUPPRESS
        elif action.dest in keys():
            if action.dest == "training.stop_when":
                action.option_strings = [*action.option_strings, "--stop-when"]
                parser._option_string_actions["--stop-when"] = action
            action.metavar = "DIR" if action.dest in ("runs", "data.root") else placeholder(field_type(action.dest))
            text, usual = f"{action.help} {notes.get(action.dest, '')}".strip(), defaults[action.dest]
            if usual is not None and "Default:" not in text:
                text += f" (default: {usual if isinstance(usual, str) else json.dumps(usual)})"
            action.help = text.replace("%", "%%")
    for group in parser._action_groups:
        if name := next((action.dest for action in group._group_actions if action.dest in GROUPS), None):
            group.title, group.description = name, field_type(name).__doc__
        elif group.title == "options":
            group.title = "run"
    return parser


@cache
def checker() -> ArgumentParser:
    """A parser whose defaults nobody changes: making one takes ten times as long as using it."""
    return configuration_parser()


def typed(kind: type, values: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """Values for fields of a dataclass, as their types have them; `UserError` if one is of another kind."""
    for name, value in values.items():
        if value is None and type(None) not in get_args(hints(kind)[name]):
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
    for name, hint in hints(kind).items():
        if name in names:
            parser.add_argument(f"--{name}", type=hint)
    return parser


def is_a_group(key: str) -> UserError:
    """The error for a value that is given for a whole group."""
    own = ", ".join(f"--{name}" for name in keys() if name.startswith(f"{key}."))
    return UserError(f"--{key} is a group; its flags are {own}")


def one_line(error: ArgumentError, parser: ArgumentParser | None = None) -> UserError:
    """A message of the parser's as ours: what was given, what is allowed, what is nearest."""
    text = str(error)
    if match := re.match(r"unrecognized arguments: (\S+)", text):
        flag = match[1].split("=")[0]
        refuse_gone(flag)
        if flag.startswith("--"):
            parser = parser or checker()
            options = [option for action in parser._actions for option in action.option_strings]
            flags = [option for option in options if option.removeprefix("--") not in GROUPS]
            return unknown("flag", flag, flags, extra=f"see {parser.prog} --help")
        return UserError(f"unexpected argument '{match[1]}'; options are written --key value")
    if match := re.match(r"argument --(\S+): invalid (int|float) value: (.*)", text):  # the command's own
        due = "a whole number" if match[2] == "int" else "a number"
        return UserError(f"--{match[1]} is {match[3]}; allowed: {due}")
    if match := re.match(r'Parser key "([\w.]+)":', text):
        key = match[1]
        value = re.search(r"(?:Got|Given) value: (.*)", text)
        kind = field_type(key)
        if dataclasses.is_dataclass(kind):
            return is_a_group(key)
        if value and get_origin(kind) is Literal:
            return unknown(f"value of {key}", value[1], get_args(kind))
        return UserError(f"{key} is '{value[1] if value else '?'}'; allowed: {allowed(kind)}")
    return UserError(text)
