"""What earlier builds of a report made, kept in its folder by what it was made from."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import os
import secrets
import zlib
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from repro.errors import UserError, no_pipe

NAME = ".made"
_SIGNED = 32
"""Bytes of the signature at the beginning of the file, and of the key."""


class Memory:
    """Things by key, as far as this build has asked for them or put them in: what is no longer used is forgotten.

    A key is a hash of all that a thing was made from, code included, so nothing is ever shown that was made from
    something else. A memory that is missing, damaged, or was not written by this user is an empty one: a study's folder
    may come from a stranger, and what is remembered goes into the page as it is. Without a folder nothing is remembered
    beyond this build.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._things, self._files = _read(folder / NAME) if folder is not None else ({}, {})
        self._used: dict[str, Any] = {}

    @property
    def things(self) -> dict[str, Any]:
        """All that is remembered, by key; what is taken from here and not `put` is forgotten."""
        return self._things | self._used

    def get(self, key: str) -> Any:
        """What was made under a key; None if nothing was."""
        if key not in self._used and key in self._things:
            self._used[key] = self._things[key]
        return self._used.get(key)

    def put(self, key: str, made: Any) -> None:
        """Remember what can be written as JSON."""
        self._used[key] = made

    def content(self, files: Mapping[str, bytes]) -> bytes:
        """The memory as a file of the folder, beside the other files that this build has made."""
        things = {key: self._used[key] for key in sorted(self._used)}  # the same whatever was asked for first
        record = {"things": things, "files": {name: _digest(content) for name, content in files.items()}}
        content = gzip.compress(json.dumps(record, ensure_ascii=False).encode(), 6, mtime=0)
        return _signature(content) + content

    def forget_files(self, files: Mapping[str, bytes]) -> None:
        """Remove what earlier builds wrote and this one did not, unless somebody has changed it since."""
        for name in self._files.keys() - files.keys():
            assert self._folder is not None
            path = self._folder / name
            if path.parent != self._folder and path.is_file() and _digest(path.read_bytes()) == self._files[name]:
                path.unlink()


def _signature(content: bytes) -> bytes:
    return hmac.digest(_secret(), content, "sha256")


@cache
def _secret() -> bytes:
    """This user's own, made once; where it cannot be kept, nothing is remembered beyond this process."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "repro"
    path, made = folder / "report.key", secrets.token_bytes(_SIGNED)
    with suppress(OSError, RuntimeError):
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError), open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:  # noqa: PTH123
            file.write(made)
        kept = path.read_bytes()
        return kept if len(kept) == _SIGNED else made
    return made


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _read(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """What a memory's file holds: things, and the other files' digests; nothing if it is not this user's."""
    try:
        content = no_pipe(path).read_bytes()
        signature, content = content[:_SIGNED], content[_SIGNED:]
        if not hmac.compare_digest(signature, _signature(content)):
            return {}, {}
        record = json.loads(gzip.decompress(content))
        things, files = dict(record["things"]), {str(name): str(value) for name, value in record["files"].items()}
    except (UserError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zlib.error):
        return {}, {}
    inside = {name: value for name, value in files.items() if not Path(name).is_absolute() and ".." not in name}
    return things, inside
