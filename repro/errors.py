"""The one exception for a user's mistake, and the words in which it is told."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from repro.text import printable


class UserError(Exception):
    """A mistake of the user's: one line that says what was given, what is allowed and what to do.

    The command line prints it on stderr and exits with status 2; it is never shown as a traceback. Control characters
    in what was given are shown as escapes: they could rewrite the terminal.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(" ".join(message.split())))


def unknown(kind: str, given: object, allowed: Iterable[object], *, extra: str = "") -> UserError:
    """The error for a name that is not in a list.

    Names the nearest allowed values (by `difflib`, at most three), and all of them where none is near or they are few.

    Args:
        kind: What the name should be: ``"network"``, ``"dataset"`` ...
        given: What the user wrote.
        allowed: Every value that is accepted.
        extra: One more half-sentence, such as other forms that are accepted.
    """
    names = [str(name) for name in allowed]
    near = difflib.get_close_matches(str(given).lower(), [name.lower() for name in names], n=3, cutoff=0.6)
    nearest = [name for match in near for name in names if name.lower() == match]
    text = f"unknown {kind} '{given}'"
    if nearest:
        text += f"; nearest: {', '.join(dict.fromkeys(nearest))}"
    if not nearest or len(names) <= 12:
        text += f"; allowed: {', '.join(names)}"
    if extra:
        text += f"; {extra}"
    return UserError(text)
