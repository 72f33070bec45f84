"""What the server of the decoding workers imports before it forks any, and nobody else.

The server is the whole program's: another part of it may begin processes there, which must get the signals that the
server and its workers leave blocked.
"""

from __future__ import annotations

import signal
from multiprocessing import current_process
from multiprocessing.util import register_after_fork

import repro.data.loading.decoding  # noqa: F401  # all that a worker needs
from repro.data.loading.workers import SIGNALS, Worker


def _let_signals_through(_owner: object) -> None:
    if not isinstance(current_process(), Worker):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


register_after_fork(_let_signals_through, _let_signals_through)  # called once a child knows what it is
