"""What is said, and done with a SLURM job, when a command was asked to stop."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from repro.text import say

if TYPE_CHECKING:
    from repro.runs.stop import Interrupted


def tell(reason: Interrupted) -> int:
    """Say where a run stopped, and put its SLURM job back into the queue if that is why; returns the exit status."""
    from repro.data.loading.workers import SIGNALS
    from repro.distributed.processes import is_first_rank
    from repro.runs.requeue import REQUEUE_ME, requeue
    from repro.runs.stop import OUT_OF_TIME

    if not is_first_rank():
        return 0  # the first one speaks for all; a failure would have the others killed before it has
    why = "the budget is used up: " if reason.signal == OUT_OF_TIME else ""
    say(f"{why}{reason}; the same command continues")
    if reason.signal == OUT_OF_TIME:
        return 0  # that is what was asked for
    if "SLURM_JOB_ID" in os.environ:  # it sends SIGTERM to what it requeues: all is saved, and this ends anyway
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if answer := requeue(reason.signal):
        say(answer.text)
        if answer.left_to_script:
            return REQUEUE_ME
    return 128 + reason.signal if reason.signal in SIGNALS else 1
