"""Files of data sets: checksums, downloads, and one process at a time."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from repro import waiting
from repro.errors import UserError
from repro.machine.process import lock_file

PIECE = 2**20
"""Bytes that are read at once."""
_REPORT_SECONDS = 5.0


def md5(content: bytes) -> str:
    """md5 in hexadecimal, as the data sets' own pages give it; against damage, not against malice."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def sha256(path: Path) -> str:
    """sha256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Pace:
    """Says on stderr every five seconds how far long work is, of so many bytes or files in all (0: not known)."""

    def __init__(self, what: str, total: int, *, unit: Literal["MB", "files"] = "MB") -> None:
        self.what, self.total, self.done, self.unit = what, total, 0, unit
        self._scale = 1e6 if unit == "MB" else 1.0
        self._last = time.monotonic()

    def more(self, size: int) -> None:
        """Note that `size` more are done."""
        self.done += size
        if time.monotonic() - self._last > _REPORT_SECONDS:
            self._last = time.monotonic()
            of = f" of {self.total / self._scale:,.0f}" if self.total else ""
            print(f"{self.what}: {self.done / self._scale:,.0f}{of} {self.unit}", file=sys.stderr, flush=True)


def require_space(folder: Path, needed: int, option: str) -> None:
    """Refuse to begin what needs more bytes than are free; the error names the option for another place."""
    if (free := shutil.disk_usage(folder.parent).free) < needed:
        raise UserError(
            f"no space for '{folder}': it needs {needed / 1e6:.0f} MB, {free / 1e6:.0f} MB are free; "
            f"free some, or give another {option}"
        )


def fetch(urls: Sequence[str], advice: str) -> bytes:
    """The content behind the first of some addresses that answers; says on stderr how far it is.

    If none answers, the error has each one's reason, and the advice.
    """
    reasons = []
    for url in urls:
        try:
            with urllib.request.urlopen(url, timeout=60) as response:
                return _read(response, url)
        except (urllib.error.URLError, OSError) as error:
            reasons.append(f"{url}: {getattr(error, 'reason', error)}")
    raise UserError(f"cannot download ({'; '.join(reasons)}); {advice}")


def _read(response: object, url: str) -> bytes:
    total = int(response.headers.get("Content-Length") or 0)  # type: ignore[attr-defined]
    content = bytearray()
    pace = Pace(url, total)
    while piece := response.read(PIECE):  # type: ignore[attr-defined]
        content += piece
        pace.more(len(piece))
    if total and len(content) != total:
        raise OSError(f"it ended after {len(content):,} of {total:,} bytes")
    return bytes(content)


def leads_outside(name: str) -> bool:
    """Whether unpacking a member of an archive would write outside of the target folder, on any platform."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or bool(path.parts and path.parts[0].endswith(":"))


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[bool]:
    """Wait until no other process is in here with the same lock file.

    Yields whether that is so: where the platform or the file system has no locks, nobody waits.
    """
    with lock.open("w") as file:
        locked = lock_file(file.fileno())
        if locked is False:
            holder = f"another process, which prepares the same data ('{lock}')"
            waiting.until(lambda: bool(lock_file(file.fileno())), holder)
        yield locked is not None
