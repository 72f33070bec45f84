"""A SLURM job that has stopped with a checkpoint is put back into the queue."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping

_PATIENCE_SECONDS = 30


def job(environment: Mapping[str, str]) -> str | None:
    """The SLURM job that this process is a part of, as `scontrol` knows it; None outside of SLURM.

    A task of an array goes by array and task: the number of one of them is also the number of the whole array.
    """
    if "SLURM_ARRAY_JOB_ID" in environment:
        return f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}"
    return environment.get("SLURM_JOB_ID")


def _scontrol(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["scontrol", *arguments], capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False
    )


def _is_preempted(name: str) -> bool:
    """Whether the job still runs and makes room for another: SLURM requeues it only if it outlasts its grace time."""
    shown = _scontrol("show", "job", "-o", name).stdout
    return "JobState=RUNNING" in shown and not re.search(r"\bPreemptTime=None\b", shown) and "PreemptTime=" in shown


def requeue(number: int) -> str | None:
    """Put this process's SLURM job back into the queue, if the signal that stopped it asks for that.

    SIGUSR1 does: the time limit is near. SIGTERM does if the job is preempted and still has time; after ``scancel``
    and ``scontrol requeue`` SLURM knows itself what becomes of the job.

    Args:
        number: The signal.

    Returns:
        What became of it, for the user; None if nothing was to be done.
    """
    name = job(os.environ)
    if name is None or number not in (signal.SIGUSR1, signal.SIGTERM):
        return None
    try:
        if number == signal.SIGTERM and not _is_preempted(name):
            return None
        done = _scontrol("requeue", name)
    except (OSError, subprocess.SubprocessError) as error:
        return f"SLURM job {name} could not be requeued ({error}); submit it again"
    if done.returncode:
        return f"SLURM job {name} could not be requeued ({done.stderr.strip()}); submit it again"
    return f"SLURM job {name} is requeued"
