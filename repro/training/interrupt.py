"""Signals ask; the run stops at the end of the batch, with a checkpoint."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """The run was asked to stop and did so, with a checkpoint."""


class StopRequest:
    """Whether a signal came. The handler only sets a flag: anything more hangs under DDP."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals over; a second one does what it does by default."""
        before = {number: signal.getsignal(number) for number in SIGNALS}

        def note(number: int, _frame: FrameType | None) -> None:
            self.signal = signal.Signals(number)
            signal.signal(number, before[signal.Signals(number)])

        try:
            for number in SIGNALS:
                signal.signal(number, note)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
