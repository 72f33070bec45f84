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

import atexit
import contextlib
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from functools import cache
from multiprocessing import current_process, forkserver, parent_process, resource_tracker
from multiprocessing.context import ForkServerContext, ForkServerProcess

from repro.machine import shared_memory
from repro.text import say

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Ctrl-C; what a scheduler sends before it kills; what job scripts ask to be sent before the time limit.

Ours ask for SIGUSR2: NCCL 2.12 and 2.13 took SIGUSR1 for themselves (NVIDIA/nccl#704), and submitit sends SIGUSR2 for
that reason. SIGUSR1 is heard as well, as Lightning's users are used to it.
"""

PREFETCH = 2
"""Batches that a worker has ready or at hand."""
_LONGEST_TEMPORARY = 60  # bytes; multiprocessing adds two names


class Worker(ForkServerProcess):
    """A process that decodes: the signals stay blocked (see `repro.data.loading.worker_server`)."""


class _Workers(ForkServerContext):
    Process = Worker


@cache
def worker_context() -> ForkServerContext:
    """How workers are begun: by a server with everything imported. `OSError` if the machine refuses it."""
    context = _Workers()
    context.set_forkserver_preload(["repro.data.loading.worker_server"])
    with _short_names():
        resource_tracker.ensure_running()  # it would let the signals through again
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # the server keeps them blocked
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


@contextlib.contextmanager
def _short_names() -> Iterator[None]:
    """Have the server and its workers name their sockets in a folder of a short name: a socket's takes 107 bytes."""
    if len(os.fsencode(tempfile.gettempdir())) <= _LONGEST_TEMPORARY:
        yield
        return
    folder = tempfile.mkdtemp(prefix="repro-", dir="/tmp")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    current_process()._config["tempdir"] = folder  # type: ignore[attr-defined]  # of multiprocessing
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = "/tmp"
    try:
        yield
    finally:
        os.environ.pop("TMPDIR")
        if before is not None:
            os.environ["TMPDIR"] = before


def usable_workers(wanted: int, batch_bytes: int, local_ranks: int = 1) -> int:
    """How many workers there can be: as many as wanted, unless the machine refuses them or their shared memory.

    A decoded batch of `batch_bytes` lies in shared memory until it is read; the ranks of this machine share it.
    """
    if not wanted:
        return 0
    free = shared_memory()
    waiting = [(PREFETCH * workers + 1) * batch_bytes * local_ranks for workers in range(wanted + 1)]
    usable = next((workers for workers in range(wanted, 0, -1) if waiting[workers] <= (free or 0)), 0)
    if usable < wanted:
        room = "there is no /dev/shm" if free is None else f"/dev/shm has {free / 1e6:,.1f} MB free"
        instead = f"{usable} decode" if usable else "this process decodes"
        _note(
            f"{wanted} workers would have batches of {waiting[wanted] / 1e6:,.1f} MB waiting in shared memory, and "
            f"{room}: {instead} (docker run --shm-size gives more)"
        )
    try:
        return usable if usable and worker_context() else 0
    except OSError as error:
        _note(f"no processes can be begun to decode images ({error.strerror or error}): this process decodes them")
        return 0


@cache
def _note(text: str) -> None:
    say(f"note: {text}")


def begin_worker(_worker: int) -> None:
    """What a worker does first: it sees to it that it ends when the training process is gone."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()  # torch's own watch is on the server
        os._exit(1)
