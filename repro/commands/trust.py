"""``--trust NAMES``, with any command: which code may be imported although a file names it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from repro.errors import UserError
from repro.runs.validation import CODE_KEYS


def take_trust(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments without ``--trust NAMES``, and the code that is trusted: by that, or because it is typed here.

    Raises:
        UserError: Nothing is named.
    """
    rest, names = [], []
    pending = iter(arguments)
    for argument in pending:
        flag, equals, value = argument.partition("=")
        if flag == "--trust":
            if not equals and (value := next(pending, "")) == "":
                raise UserError("--trust needs the names of packages, modules or package.module:Name, with commas")
            names += value.split(",")
            continue
        rest.append(argument)
        if flag.removeprefix("--") in CODE_KEYS:
            if not equals:
                rest += (following := [*itertools.islice(pending, 1)])
                value = "".join(following)
            names += [value] if ":" in value else []
    return rest, names
