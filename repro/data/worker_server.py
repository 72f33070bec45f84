"""What the server of the decoding workers imports before it forks any, and nobody else.

The server keeps the signals blocked with which it was started. Its processes get them: another part of the program may
begin some of its own there.
"""

from __future__ import annotations

import os
import signal

import repro.data.decoding  # noqa: F401  # all that a worker needs
from repro.data.workers import SIGNALS

os.register_at_fork(after_in_child=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS))
