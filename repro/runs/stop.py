"""Signals ask, or the clock; the run stops at the end of the batch, with a checkpoint."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from repro.data.loading.workers import SIGNALS
from repro.waiting import heard

TAKEN_OVER = 1_000
"""In place of a signal: another start has taken the run over, so this one leaves its directory alone."""
OUT_OF_TIME = 1
"""In place of a signal: the budget is used up. Below every signal's number, so that one that comes later counts."""
LAST_SECONDS = 5.0
"""Before a budget's end: to close the record and leave."""
PATIENCE_SECONDS = 20.0
"""What goes on after a request to stop, an evaluation or a wait, may take so long; then the run leaves it, back to its
last checkpoint."""

USER_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)
"""What job scripts ask SLURM to send before the time limit."""
_early: list[int] = []


def defer_user_signals() -> None:
    """Note SIGUSR1 and SIGUSR2 from now on, for the next `StopRequest` that listens.

    By default they end a process, and SLURM does not wait until torch has been imported or the last line is written.
    """
    for number in USER_SIGNALS:
        signal.signal(number, lambda number, _frame: _early.append(number))


class Interrupted(Exception):
    """The run was asked to stop, by a signal (its number), `TAKEN_OVER` or `OUT_OF_TIME`, and did so at a checkpoint.

    The message says where it stopped.
    """

    def __init__(self, message: str, *, signal: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.signal = signal


class CannotSave(Exception):
    """The disk refuses a checkpoint or another file; the earlier checkpoint is still there."""


class StopRequest:
    """Whether a signal came, or the time is up. The handler only sets a flag: anything more hangs under DDP.

    All has to be over when `time.monotonic` is at `ends`; infinite: whenever it is.
    """

    def __init__(self, ends: float = math.inf) -> None:
        self.ends = ends
        self.notice = 0.0
        """Seconds that a stop takes, beside `LAST_SECONDS`: it is asked for that much earlier."""
        self._signal = 0
        self._since = 0.0
        self._woken: int | None = None

    def __bool__(self) -> bool:
        return self.signal != 0

    @property
    def signal(self) -> int:
        """The signal's number, `TAKEN_OVER` or `OUT_OF_TIME`; 0 while nothing asks."""
        if self._woken is not None:
            with suppress(BlockingIOError):
                for number in os.read(self._woken, 64):
                    if number in SIGNALS:
                        self.ask(number)
        if not self._signal and self.left <= self.notice + LAST_SECONDS:
            self.ask(OUT_OF_TIME)
        return self._signal

    @property
    def left(self) -> float:
        """Seconds until the end of the budget."""
        return self.ends - time.monotonic()

    def ask(self, number: int) -> None:
        """Ask to stop. A later request replaces an earlier one only if its number is higher."""
        self._since = self._since or time.monotonic()
        self._signal = max(self._signal, int(number))

    def taken_over(self) -> None:
        """Ask to stop because another start has taken the run over."""
        self.ask(TAKEN_OVER)

    def is_urgent(self) -> bool:
        """Whether to stop at once: some seconds after a signal, or at the end of the budget."""
        if self.signal == OUT_OF_TIME:
            return self.left <= LAST_SECONDS
        return bool(self) and time.monotonic() - self._since > PATIENCE_SECONDS

    def _end_wait(self, what: str) -> None:
        if self.is_urgent():
            raise Interrupted(f"stopped while waiting for {what}", signal=self.signal)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals over. A second Ctrl-C does what it does by default; a scheduler may repeat its own.

        Python calls a handler only when the main thread comes back from what it waits for, which may be another
        process: the number of a signal also goes into a pipe, for the thread that watches the others.
        """
        before = {number: signal.getsignal(number) for number in SIGNALS}

        def note(number: int, _frame: FrameType | None) -> None:
            self.ask(number)
            if number == signal.SIGINT:
                signal.signal(number, before[signal.SIGINT])

        self._woken, written = os.pipe()
        for end in (self._woken, written):
            os.set_blocking(end, False)
        waking = signal.set_wakeup_fd(written, warn_on_full_buffer=False)
        try:
            for number in SIGNALS:
                signal.signal(number, note)
            while _early:
                self.ask(_early.pop())
            with heard(self._end_wait):
                yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(waking)
            reading, self._woken = self._woken, None
            os.close(reading)
            os.close(written)
