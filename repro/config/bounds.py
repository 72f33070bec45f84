"""What a configuration's values must keep to, each with the line that says so."""

from __future__ import annotations

from typing import Any

from repro.errors import UserError
from repro.text import unseen

MOST_FLOAT = 3.4e38

LONGEST_NAME = 150
"""Bytes of a folder's name that a user chooses: seed, identity and endings come on top, and 255 is what disks take."""


def require_name(text: str, key: str) -> None:
    """Refuse what is no plain name of a folder: such names enter paths, scripts, pages and command lines."""
    plain = text not in ("", ".", "..") and not set(text) & set("/\\") and not text.startswith("-")
    if not plain or unseen(text):
        raise UserError(
            f"{key} is '{text}'; allowed: a plain folder name without slashes, control characters or a leading hyphen"
        )
    if len(text.encode()) > LONGEST_NAME:
        raise UserError(f"{key} is '{text[:40]}...', {len(text.encode())} bytes; allowed: {LONGEST_NAME} at most")


def require_plain(value: object, key: str) -> None:
    """Refuse what a configuration file cannot keep: unseen characters, numbers that are none, sets, dates and so on."""
    if isinstance(value, float) and not abs(value) <= MOST_FLOAT:
        raise UserError(f"{key} is {value}; allowed: finite numbers, up to {MOST_FLOAT:g}, the most of float32")
    if isinstance(value, str) and (odd := unseen(value)):
        raise UserError(f"{key} is '{value}'; allowed: text without control characters (it has {odd})")
    if isinstance(value, dict):
        for name, inner in value.items():
            require_plain(name, key)
            require_plain(inner, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for inner in value:
            require_plain(inner, key)
    elif not isinstance(value, str | int | float | bool | None):
        raise UserError(
            f"{key} is a {type(value).__name__}; allowed: texts, numbers, true, false, null, lists and mappings"
        )


def require(condition: bool, key: str, value: object, allowed: str) -> None:
    """Refuse a value that does not fulfil its condition, and say in words what does."""
    if not condition:
        raise UserError(f"{key} is {value}; allowed: {allowed}")


def at_least(config: Any, group: str, **least: int) -> None:
    """Refuse fields of a group that are set below their least values."""
    for key, lowest in least.items():
        value = getattr(config, key)
        require(value is None or value >= lowest, f"{group}.{key}", value, f"{lowest} or more")
