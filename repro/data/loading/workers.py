"""Processes that decode images, begun without forking the training process.

A process that trains has threads: those of its process group, of its GPU, of its libraries. A fork copies the locks
that they hold at that moment but not the threads, and a worker that then asks for one of them waits for ever: a run of
two ranks over gloo was seen to hang so at the start of an epoch. So the workers are forked from a server that does
nothing else.

Ctrl-C reaches every process of a terminal, and a scheduler's signal every process of a job; the run ends its batch
first, and needs its workers for that. So they leave the signals to the training process: the server blocks them before
it begins anything, and a worker never lets them through.
"""

from __future__ import annotations

import os
import signal
import threading
from functools import cache
from multiprocessing import forkserver, parent_process, resource_tracker
from multiprocessing.context import ForkServerContext, ForkServerProcess

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""Ctrl-C; what a scheduler sends before it kills; what our SLURM scripts ask to be sent before the time limit."""


class Worker(ForkServerProcess):
    """A process that decodes: the signals stay blocked (see `repro.data.loading.worker_server`)."""


class _Workers(ForkServerContext):
    Process = Worker


@cache
def worker_context() -> ForkServerContext:
    """How workers are begun: by a server with everything imported, which starts here."""
    found = _Workers()
    found.set_forkserver_preload(["repro.data.loading.worker_server"])
    resource_tracker.ensure_running()  # it would let the signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # the server keeps them blocked
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return found


def begin_worker(_worker: int) -> None:
    """What a worker does first: it sees to it that it ends when the training process is gone."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()  # torch's own watch is on the server
        os._exit(1)
