"""One process at a time on a run directory, on any host of a shared file system."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from repro import waiting
from repro.errors import UserError
from repro.machine import lives, number, this_process
from repro.machine.process import lock_file
from repro.records.files import read_whole

HEARTBEAT_SECONDS = 15.0
DEAD_AFTER_SECONDS = 120.0


def _owner() -> dict[str, Any]:
    return {
        **this_process(),
        "job": os.environ.get("SLURM_JOB_ID"),
        "restart": number("SLURM_RESTART_COUNT", 0),
        "token": uuid.uuid4().hex,
    }


class Lock:
    """The lock of a run directory; a context manager, which raises `UserError` while another process holds it.

    The file holds the process (`repro.machine.this_process`), SLURM job and a token, and its time is renewed as a
    heartbeat. Another start refuses while the owner lives and takes the lock over when it is dead: its process is gone
    from this machine, its SLURM job was restarted, or it gave no sign for two minutes (by the file server's clock; if
    that has been set back since, it is watched for a while). Should the owner live after all (a node that was cut off
    and taken for dead), it learns so at its next heartbeat: `lost` is called once, from another thread.
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
        """Put a complete lock file in place, or return False if there is one."""
        temporary = self.path.with_name(f".lock.{self._owner['token']}")
        try:
            temporary.write_text(json.dumps(self._owner), encoding="utf-8")
            _put(temporary, self.path)
        except FileExistsError:
            return False
        except OSError as error:
            raise UserError(
                f"cannot write a lock into '{self.path.parent}': {error.strerror}; name another place with --runs"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def _read(self, path: Path | None = None) -> dict[str, Any] | None:
        path = path or self.path
        try:
            content = json.loads(read_whole(path))
        except FileNotFoundError:
            return {} if path.is_symlink() else None  # a link that leads nowhere is nobody's
        except OSError as error:
            raise UserError(f"cannot read the lock '{path}': {error.strerror}; remove it") from error
        except (ValueError, RecursionError):
            content = {}
        return content if isinstance(content, dict) else {}

    def _remove(self, holder: Mapping[str, Any]) -> None:
        """Take the lock file away if it is still that holder's: moved aside first, so that one of several wins.

        While a lock is aside a third process could put its own in place, and the moved one could not be given back:
        hence one process at a time.
        """
        aside = self.path.with_name(f".lock.{uuid.uuid4().hex}")
        with _alone(self.path.parent):
            if (self._read() or {}).get("token") != holder.get("token"):
                return
            try:
                self.path.rename(aside)
            except FileNotFoundError:
                return
            if holder and (self._read(aside) or {}).get("token") != holder.get("token"):
                with contextlib.suppress(FileExistsError):
                    _put(aside, self.path)  # somebody was quicker: give it back
            aside.unlink(missing_ok=True)

    def _dead(self, holder: Mapping[str, Any], *, watch: bool = True) -> bool:
        same_job = holder.get("job") is not None and holder["job"] == self._owner["job"]
        if same_job and int(holder.get("restart", 0)) < self._owner["restart"]:
            return True
        if lives(holder) is False:
            return True
        age = self._silence()
        if age is None:
            return False  # released in between
        if age < -HEARTBEAT_SECONDS and watch:  # the clock was set back: see whether it is renewed
            return not self._renewed()
        return age > DEAD_AFTER_SECONDS

    def _silence(self) -> float | None:
        """Seconds since the last heartbeat, by the file server's clock, which may differ from this machine's."""
        probe = self.path.with_name(f".clock.{uuid.uuid4().hex}")
        try:
            with contextlib.suppress(OSError):  # read only: by our own clock
                probe.touch()
            now = probe.stat().st_mtime if probe.exists() else time.time()
            return now - self.path.lstat().st_mtime
        except FileNotFoundError:
            return None
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)

    def _renewed(self) -> bool:
        """Whether the owner gives a sign within two heartbeats."""
        before = self._stamp()
        return waiting.until(
            lambda: self._stamp() != before,
            f"a sign of life of the run that holds '{self.path}', which is dated in the future",
            seconds=2 * HEARTBEAT_SECONDS,
        )

    def _stamp(self) -> int | None:
        """When the lock was renewed last, by its file's time; None if it is gone."""
        try:
            return self.path.lstat().st_mtime_ns
        except FileNotFoundError:
            return None

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


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time, for a moment. Where the file system has no such locks, or one hangs, without it."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            number = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, number)
            for _ in range(100):
                if lock_file(number) is not False:
                    break
                time.sleep(0.02)
        yield


def _put(temporary: Path, path: Path) -> None:
    """Make `path` the file `temporary`, unless it is there (`FileExistsError`): by a link, atomic on NFS too."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # no hard links here: whoever reads it before it is whole finds an owner that lives
        with path.open("x", encoding="utf-8") as file:
            file.write(temporary.read_text(encoding="utf-8"))


def holder(path: Path) -> dict[str, Any] | None:
    """Who holds the lock file at `path`, if its process still lives; None if nobody does."""
    lock = Lock(path)
    try:
        content = lock._read()
    except UserError:  # no lock of ours; who starts the run is told
        return {}
    return None if content is None or lock._dead(content, watch=False) else content
