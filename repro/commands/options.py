"""A command's options as the fields of a dataclass: its parser, its help and what it gets are made from them."""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any, Literal, NamedTuple, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from repro.commands import COMMANDS
from repro.errors import UserError, unknown

MOST = 2**31 - 1
"""The largest seed, and the most of what is counted: torch takes no more everywhere."""


def option(text: str, *, default: Any, **settings: Any) -> Any:
    """A flag, named as its field; the help says its default, too.

    Settings are `argparse`'s, in place of those that the field's type stands for; ``flag``, another name; ``read``,
    what makes the field's value of the text; ``least`` and ``most``, between which a number has to be.
    """
    return field(default=default, metadata={"help": text, **settings})


def argument(text: str, *, default: Any = dataclasses.MISSING, **settings: Any) -> Any:
    """A positional argument; as `option`. With ``nargs="?"`` or ``"*"`` and a default it may be left out."""
    return field(default=default, metadata={"help": text, "flag": None, **settings})


def trust_option() -> Any:
    """``--trust NAMES``, which may be repeated."""
    return option(
        "import this code when a file names it; a package, a module or package.module:Name (repro help trust)",
        default=(),
        action="append",
        metavar="NAME[,NAME]",
        read=lambda texts: tuple(",".join(texts).split(",")),
    )


@typing.dataclass_transform(frozen_default=True, kw_only_default=True)
@dataclass(frozen=True, kw_only=True)
class Request:
    """What a command line asks for: its fields are the command's options. Every subclass is a dataclass."""

    trust: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True, kw_only=True)(cls)


R = TypeVar("R", bound=Request)


class Asked(NamedTuple):
    """A command line that has been read: what is to be done, which returns the exit status, with what."""

    do: Callable[[Any], int]
    request: Request


class Action(NamedTuple):
    """What a command does, or one of several things, by the word that follows it."""

    kind: type[Request]
    do: Callable[[Any], int]
    text: str = ""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are `UserError`s with the nearest option."""

    def error(self, message: str) -> NoReturn:
        """Raise what `argparse` would print."""
        from repro.config.gone import refuse_gone

        if match := re.search(r"argument (\S+): invalid choice: '?([^' ]+)'? \(choose from (.*)\)", message):
            refuse_gone(f"{self.prog.removeprefix('repro ')} {match[2]}")
            kind = f"value of {match[1]}" if match[1].startswith("-") else "action"
            raise unknown(kind, match[2], re.findall(r"[\w.-]+", match[3]), extra=f"see {self.prog} --help")
        raise UserError(f"{message}; see {self.prog} --help")

    def read(self, arguments: Sequence[str]) -> Asked:
        """What a command line asks for; `UserError` for a mistake in it."""
        namespace, rest = self.parse_known_args(arguments)
        if rest:
            namespace.parser.refuse(rest[0])
        return Asked(namespace.action.do, request_of(namespace.action.kind, vars(namespace)))

    def refuse(self, word: str) -> NoReturn:
        """Raise for a word that means nothing."""
        from repro.config.gone import refuse_gone

        if not word.startswith("-"):
            raise UserError(f"unexpected argument '{word}'; see {self.prog} --help")
        flag = word.split("=")[0]
        refuse_gone(flag)
        options = [option for action in self._actions for option in action.option_strings]
        raise unknown("flag", flag, options, extra=f"see {self.prog} --help")


def command_parser(
    command: str,
    examples: Sequence[str],
    actions: Action | Mapping[str, Action],
    more: Callable[[], str] | None = None,
) -> Parser:
    """A command's parser; its help begins with examples of what may follow the command, and ends with `more`."""
    settings: dict[str, Any] = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
    parser = Parser(prog=f"repro {command}", description=description(command, examples), **settings)
    parser.epilog = more() if more else None
    if isinstance(actions, Action):
        parsers = {parser: actions}
    else:
        commands = parser.add_subparsers(required=True, metavar="|".join(actions))
        parsers = {
            commands.add_parser(name, help=action.text, description=action.text, **settings): action
            for name, action in actions.items()
        }
    for child, action in parsers.items():
        add_options(child, action.kind)
        child.set_defaults(parser=child, action=action)
    return parser


def description(command: str, examples: Sequence[str]) -> str:
    """What a command does, and how it is called."""
    return "\n".join([COMMANDS[command], "\nexamples:", *(f"  repro {command} {line}".rstrip() for line in examples)])


def add_options(parser: argparse.ArgumentParser, kind: type[Request]) -> None:
    """Add the options of a request to its parser."""
    types = get_type_hints(kind)
    for entry in sorted(dataclasses.fields(kind), key=lambda entry: entry.name == "trust"):
        if not entry.metadata:
            continue
        told = {name: value for name, value in entry.metadata.items() if name not in ("read", "least", "most")}
        settings = told if "action" in told or "read" in entry.metadata else {**_settings(types[entry.name]), **told}
        flag = settings.pop("flag", f"--{entry.name.replace('_', '-')}")
        usual = None if "read" in entry.metadata else entry.default
        if usual not in (None, (), dataclasses.MISSING) and usual is not False:
            settings["help"] += f" (default: {' '.join(map(str, usual)) if isinstance(usual, tuple) else usual})"
        settings["help"] = settings["help"].replace("%", "%%")
        if flag is None:
            parser.add_argument(entry.name, **{**settings, "metavar": told.get("metavar", entry.name.upper())})
        else:
            parser.add_argument(flag, dest=entry.name, default=None, **settings)


def _settings(hint: Any) -> dict[str, Any]:
    """What `argparse` needs to know of a field's type."""
    kind = next((member for member in get_args(hint) if NoneType in get_args(hint)), hint)
    if kind is bool:
        return {"action": "store_true"}
    if get_origin(kind) is Literal:
        return {"choices": get_args(kind)}
    if get_origin(kind) is tuple:
        return {**_settings(get_args(kind)[0]), "nargs": "+"}
    return {"type": _reader(kind), "metavar": {int: "N", float: "X", Path: "DIR"}.get(kind)}


def _reader(kind: Any) -> Any:
    """What makes a value of a text; Python takes more for numbers than anybody means, such as 1_0."""
    if kind not in (int, float):
        return kind

    def read(text: object) -> Any:
        if isinstance(text, str) and (not text.isascii() or "_" in text):  # jsonargparse has made a number of it
            raise ValueError(text)
        value = kind(text)
        if math.isnan(value):
            raise ValueError(text)
        return value

    read.__name__ = kind.__name__  # for the parser's message
    return read


def request_of(kind: type[R], values: Mapping[str, Any], **more: Any) -> R:
    """A request with what was given, of which a parser knows more."""
    fields: dict[str, Any] = {}
    for entry in dataclasses.fields(kind):
        if (value := values.get(entry.name)) not in (None, []):
            read = entry.metadata.get("read", tuple if isinstance(value, list) else lambda text: text)
            fields[entry.name] = read(value)
            _require_within(entry.name, value, **entry.metadata)
    return kind(**fields, **more)


def _require_within(name: str, value: Any, *, least: int | None = None, most: int | None = None, **_: Any) -> None:
    if least is not None and not least <= value <= (most or value):
        bound = f"{least} to {most:,}" if most else f"{least} or more"
        raise UserError(f"--{name.replace('_', '-')} is {value}; allowed: {bound}")
