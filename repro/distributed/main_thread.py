"""Whether the main thread works or waits, as another thread sees it."""

from __future__ import annotations

import threading
import time

_BUSY = 0.003  # share of a processor from which the main thread counts as working: one that polls takes less


class MainThread:
    """Tells for how long the main thread has hardly used a processor, as one does that waits."""

    def __init__(self, apart: float) -> None:
        self._apart = apart  # seconds between two looks that are compared
        self._looked = self._worked = time.monotonic()
        self._used = self._seconds()

    @staticmethod
    def _seconds() -> float:
        if not hasattr(time, "pthread_getcpuclockid"):  # not told on macOS: it counts as working
            return time.monotonic()
        main = threading.main_thread().ident
        assert main is not None
        return time.clock_gettime(time.pthread_getcpuclockid(main))

    def idle(self) -> float:
        """Seconds since it was seen to work."""
        now = time.monotonic()
        if now - self._looked >= self._apart:
            used = self._seconds()
            if used - self._used > _BUSY * (now - self._looked):
                self._worked = now
            self._looked, self._used = now, used
        return now - self._worked
