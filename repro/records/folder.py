"""A folder of what a command has made: its files replace those that a command made there before, all or none."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from repro.errors import UserError, refusing
from repro.records.files import read_whole, replace_files
from repro.records.surface import PLAN

MADE = ".made-by-repro"
"""In the folder: the names of all that our commands have made there."""
_FORMER = (".made", "measured.json", PLAN)
"""By one of these an older version's folder is known, which has no such list."""


def put(contents: Mapping[str, bytes], out: Path) -> Path:
    """Write files by their path in a folder, in their order; returns the path that a page has there.

    Raises:
        UserError: As `require_free`; or they cannot be written.
    """
    made = require_free(out, contents)
    with refusing(f"cannot write to '{out}'", "name another folder with --out"):
        for name in contents:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
        listed = json.dumps(sorted(made | contents.keys())).encode()
        replace_files({out / name: content for name, content in {MADE: listed, **contents}.items()})
    return out / "index.html"


def require_free(out: Path, names: Iterable[str]) -> set[str]:
    """What our commands have made in a folder.

    Raises:
        UserError: A file of one of these names is there that none of them has made.
    """
    made: set[str] = set()
    with suppress(OSError, ValueError, TypeError, UserError):
        made = set(json.loads(read_whole(out / MADE)))
    former = not made and any((out / name).exists() for name in _FORMER)
    taken = [] if former else [name for name in names if name not in made and os.path.lexists(out / name)]
    if taken:
        raise UserError(f"'{out / taken[0]}' is there, and repro has not made it; name another folder with --out")
    return made
