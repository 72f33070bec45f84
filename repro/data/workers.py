"""Processes that decode images, begun without forking the training process.

A process that trains has threads: those of its process group, of its GPU, of its libraries. A fork copies the locks
that they hold at that moment but not the threads, and a worker that then asks for one of them waits for ever: a run of
two ranks over gloo was seen to hang so at the start of an epoch. So the workers are forked from a server that does
nothing else.
"""

from __future__ import annotations

import os
import signal
import threading
from functools import cache
from multiprocessing import forkserver, get_all_start_methods, get_context, parent_process, resource_tracker
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""What a terminal or a scheduler sends to all processes of a run."""

_PRELOADED = ["repro.data.worker_server"]


@cache
def worker_context() -> Any:
    """How workers are begun: by a server with everything imported, which starts here; without one, from nothing."""
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    found = get_context("forkserver")
    found.set_forkserver_preload(_PRELOADED)
    resource_tracker.ensure_running()  # it would let the signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # the server keeps them blocked
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return found


def begin_worker(_worker: int) -> None:
    """What a worker does first: it leaves signals to the training process, and ends when that is gone.

    Ctrl-C reaches every process of a terminal; the run ends its batch first, and needs its workers for that.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()  # torch's own watch is on the server
        os._exit(1)
