"""`--budget MINUTES`: how long a command may take, from its start to its end."""

from __future__ import annotations

import math
import socket
import time
from dataclasses import dataclass

from repro.errors import UserError
from repro.records import RunDirectory

LEAST_MINUTES = 1.0
"""To import everything, build, train some steps and save them."""
BEGIN_SECONDS = 30.0
"""No run begins with less time than this left: it would hardly come to its first steps."""


@dataclass(frozen=True)
class Budget:
    """A limit in minutes, and the time of `time.monotonic` at which it ends."""

    minutes: float = math.inf
    ends: float = math.inf

    @classmethod
    def of(cls, text: str) -> Budget:
        """A budget that begins now; `UserError` for what is no number of minutes above 0."""
        try:
            minutes = float(text)
        except ValueError:
            minutes = math.nan
        if not 0 < minutes < math.inf:
            raise UserError(f"--budget is '{text}'; allowed: minutes, a number above 0, such as --budget 9")
        return cls(minutes, time.monotonic() + 60 * minutes)


def known_stop(run: RunDirectory, *, here: bool = False) -> dict[str, float]:
    """The longest that a run's last lives had to wait until a request was heard, and for a checkpoint, in seconds.

    There may be no run yet. `here`: only if its last life was on this machine.
    """
    if here and run.last_life.get("host") != socket.gethostname():
        return {}
    return dict(run.state.get("stop_seconds", {}))
