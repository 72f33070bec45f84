"""What earlier builds of a report made, kept in its folder by what it was made from."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = ".made.json.gz"


class Memory:
    """Things by key, as far as this build has asked for them or put them in: what is no longer used is forgotten.

    A key is a hash of all that a thing was made from, code included, so nothing is ever shown that was made from
    something else. A memory that is missing or damaged is an empty one.

    Args:
        folder: Of the report; None remembers nothing beyond this build.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._known, self._files = _read(folder / NAME) if folder is not None else ({}, {})
        self._used: dict[str, Any] = {}

    @property
    def keys(self) -> set[str]:
        """Of all that is known."""
        return self._known.keys() | self._used.keys()

    def get(self, key: str) -> Any:
        """What was made under a key; None if nothing was."""
        if key not in self._used and key in self._known:
            self._used[key] = self._known[key]
        return self._used.get(key)

    def put(self, key: str, made: Any) -> None:
        """Remember what can be written as JSON."""
        self._used[key] = made

    def content(self, files: Mapping[str, bytes]) -> bytes:
        """The memory as a file of the folder, beside the other files that this build has made."""
        record = {"things": self._used, "files": {name: _digest(content) for name, content in files.items()}}
        return gzip.compress(json.dumps(record, ensure_ascii=False).encode(), 6, mtime=0)

    def forget_files(self, files: Mapping[str, bytes]) -> None:
        """Remove what earlier builds wrote and this one did not, unless somebody has changed it since."""
        for name in self._files.keys() - files.keys():
            assert self._folder is not None
            path = self._folder / name
            if path.parent != self._folder and path.is_file() and _digest(path.read_bytes()) == self._files[name]:
                path.unlink()


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _read(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Things and files; the checksum is gzip's."""
    try:
        record = json.loads(gzip.decompress(path.read_bytes()))
        things, files = dict(record["things"]), {str(name): str(value) for name, value in record["files"].items()}
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zlib.error):
        return {}, {}
    inside = {name: value for name, value in files.items() if not Path(name).is_absolute() and ".." not in name}
    return things, inside
