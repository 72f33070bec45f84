"""One process at a time on a run directory, on any host of a shared file system."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from repro.errors import UserError

HEARTBEAT_SECONDS = 15.0
DEAD_AFTER_SECONDS = 120.0


def _owner() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "job": os.environ.get("SLURM_JOB_ID"),
        "restart": int(os.environ.get("SLURM_RESTART_COUNT", "0")),
        "token": uuid.uuid4().hex,
    }


def _process_lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Lock:
    """The lock of a run directory; a context manager.

    The file holds host, process, SLURM job and a token, and its time is renewed as a heartbeat. Another start refuses
    while the owner lives and takes the lock over when it is dead: its process is gone from this host, its SLURM job
    was restarted, or it gave no sign for two minutes (by the file server's clock). Should the owner live after all (a
    node that was cut off and taken for dead), it learns so at its next heartbeat.

    Args:
        path: The lock file.
        lost: Called once, from another thread, when the lock is found to be somebody else's.

    Raises:
        UserError: On entering, while another process holds the lock.
    """

    def __init__(self, path: Path, lost: Callable[[], None] | None = None) -> None:
        self.path = path
        self._lost = lost
        self._owner = _owner()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="repro-heartbeat")

    def __enter__(self) -> Lock:
        while not self._create():
            holder = self._read()
            if holder is None:
                continue  # released in between
            if not self._dead(holder):
                job = f", SLURM job {holder['job']}" if holder.get("job") else ""
                raise UserError(
                    f"run directory '{self.path.parent}' is in use by process {holder.get('pid')} on "
                    f"{holder.get('host')}{job}; wait for it or stop it"
                )
            self._remove(holder)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._remove(self._owner)

    def _create(self) -> bool:
        """Put a complete lock file in place, or return False if there is one: a link is atomic on NFS too."""
        temporary = self.path.with_name(f".lock.{self._owner['token']}")
        temporary.write_text(json.dumps(self._owner), encoding="utf-8")
        try:
            os.link(temporary, self.path)
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        return True

    def _read(self) -> dict[str, Any] | None:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:
            content = {}
        return content if isinstance(content, dict) else {}

    def _remove(self, holder: Mapping[str, Any]) -> None:
        """Take the lock file away if it is still that holder's: moved aside first, so that one of several wins."""
        aside = self.path.with_name(f".lock.{uuid.uuid4().hex}")
        try:
            self.path.rename(aside)
        except FileNotFoundError:
            return
        if holder and json.loads(aside.read_text(encoding="utf-8")).get("token") != holder.get("token"):
            with contextlib.suppress(FileExistsError):
                os.link(aside, self.path)  # somebody was quicker: give it back
        aside.unlink()

    def _dead(self, holder: Mapping[str, Any]) -> bool:
        same_job = holder.get("job") is not None and holder["job"] == self._owner["job"]
        if same_job and int(holder.get("restart", 0)) < self._owner["restart"]:
            return True
        if holder.get("host") == self._owner["host"] and not _process_lives(int(holder.get("pid", 0))):
            return True
        probe = self.path.with_name(f".clock.{self._owner['token']}")
        probe.touch()  # the file server's clock, which may differ from ours
        try:
            return probe.stat().st_mtime - self.path.stat().st_mtime > DEAD_AFTER_SECONDS
        except FileNotFoundError:
            return False
        finally:
            probe.unlink()

    def _beat(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(max(0.0, last + HEARTBEAT_SECONDS - time.monotonic())):
            last = time.monotonic()
            with contextlib.suppress(OSError):
                if (self._read() or {}).get("token") != self._owner["token"]:
                    if self._lost is not None:
                        self._lost()
                    return
                os.utime(self.path)


def holder(path: Path) -> dict[str, Any] | None:
    """Who holds the lock file at `path`, if its process still lives; None if nobody does."""
    lock = Lock(path)
    content = lock._read()
    return None if content is None or lock._dead(content) else content
