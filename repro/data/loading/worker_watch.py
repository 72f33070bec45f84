"""The wait for workers that decode: it hears a request to stop, and says how a worker has ended."""

from __future__ import annotations

import signal
import weakref
from typing import Any

from repro.waiting import Wait, until

POLL_SECONDS = 0.5
_REAPING_SECONDS = 4.0  # until the server has told how one of its processes ended


def listen(iterator: Any) -> None:
    """Have a DataLoader iterator's wait for workers hear a request to stop, and say what it waits for."""
    take = getattr(iterator, "_try_get_data", None)
    if take is None or getattr(take, "is_heard", False):  # workers that stay keep their iterator
        return
    begun: list[Wait] = []
    reference = weakref.ref(iterator)  # an iterator that held itself would never be gone, nor its workers

    def polled(timeout: float = POLL_SECONDS) -> tuple[bool, Any]:
        kept: Any = reference()
        found: tuple[bool, Any] = type(kept)._try_get_data(kept, timeout)
        if found[0]:
            begun.clear()
        else:
            begun[:] = begun or [Wait("the processes that decode images")]
            begun[0].look()
        return found

    polled.is_heard = True  # type: ignore[attr-defined]
    iterator._try_get_data = polled


def how_they_ended(iterator: Any) -> str | None:
    """How workers of a DataLoader that are gone have ended, and the likely cause; None while all are there."""
    workers = getattr(iterator, "_workers", ())
    until(lambda: any(worker.exitcode for worker in workers), "how a worker ended", seconds=_REAPING_SECONDS)
    codes = [worker.exitcode for worker in workers if worker.exitcode]
    if not codes:
        return None
    name = signal.Signals(-codes[0]).name if codes[0] < 0 else f"status {codes[0]}"
    cause = {
        "SIGKILL": "as happens when memory runs out: take fewer --data.workers, or a smaller batch",
        "SIGBUS": "as happens when /dev/shm is full: take fewer --data.workers, or give the container more --shm-size",
    }.get(name, "which is a fault in a library or in the image that it decoded")
    return f"a process that decodes images has ended by {name}, {cause}"
