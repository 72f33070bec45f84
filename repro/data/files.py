"""Files of data sets: checksums, downloads, and one process at a time."""

from __future__ import annotations

import contextlib
import hashlib
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from repro.errors import UserError

_PIECE = 2**20
_REPORT_SECONDS = 5.0


def md5(content: bytes) -> str:
    """As the data sets' own pages give it; against damage, not against malice."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def sha256(path: Path) -> str:
    """Of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(urls: Sequence[str], advice: str) -> bytes:
    """The content behind the first of some addresses that answers; says on stderr how far it is.

    Raises:
        UserError: If none answers; gives each one's reason, and the advice.
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
    last = time.monotonic()
    while piece := response.read(_PIECE):  # type: ignore[attr-defined]
        content += piece
        if time.monotonic() - last > _REPORT_SECONDS:
            last = time.monotonic()
            of = f" of {total / 1e6:.0f}" if total else ""
            print(f"{url}: {len(content) / 1e6:.0f}{of} MB", file=sys.stderr)
    if total and len(content) != total:
        raise OSError(f"it ended after {len(content):,} of {total:,} bytes")
    return bytes(content)


def leads_outside(name: str) -> bool:
    """Whether a member of an archive would lie outside of the folder that it is unpacked into, on any platform."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or bool(path.parts and path.parts[0].endswith(":"))


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[bool]:
    """Wait until no other process is in here with the same lock file.

    Yields:
        Whether that is so: where the platform or the file system has no locks, nobody waits.
    """
    with lock.open("w") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
            locked = True
        except (ImportError, OSError):
            locked = False
        yield locked
