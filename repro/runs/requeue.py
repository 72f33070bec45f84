"""A SLURM job that has stopped with a checkpoint is put back into the queue."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from repro.machine import number as integer
from repro.runs.stop import USER_SIGNALS

RESUBMIT = "REPRO_RESUBMIT"
"""The text of the job script, to be submitted again if SLURM cancels the job to make room for another: by then its
file is gone."""
REQUEUE_ME = 75
"""Exit status of a run that asks its job script to requeue it (EX_TEMPFAIL)."""
_PATIENCE_SECONDS = 30


class Answer(NamedTuple):
    """What became of the job."""

    text: str
    """For the user."""
    left_to_script: bool = False
    """SLURM's commands are not here, as in a container: the job script, outside of it, is to requeue."""


def job(environment: Mapping[str, str]) -> str | None:
    """The SLURM job that this process is a part of, as `scontrol` knows it; None outside of SLURM.

    A task of an array goes by array and task: the number of one of them is also the number of the whole array.
    """
    if "SLURM_ARRAY_JOB_ID" in environment and (task := environment.get("SLURM_ARRAY_TASK_ID")) is not None:
        return f"{environment['SLURM_ARRAY_JOB_ID']}_{task}"
    return environment.get("SLURM_JOB_ID")


def fields(shown: str) -> dict[str, str]:
    """What ``scontrol show`` prints with ``-o``, by key."""
    return dict(re.findall(r"(\w+)=(\S*)", shown))


def answer(
    command: Sequence[str], environment: Mapping[str, str], *, text: str | None = None, seconds: int
) -> subprocess.CompletedProcess[str]:
    """What one of SLURM's commands, given a text, prints, and how it ends; what it prints may be any bytes.

    Raises:
        OSError: It is not there, or cannot be started.
        subprocess.TimeoutExpired: It has not answered within so many seconds.
    """
    told: dict[str, Any] = {"input": text, "timeout": seconds, "env": environment, "check": False}
    return subprocess.run(command, **told, capture_output=True, encoding="utf-8", errors="backslashreplace")


def _call(*command: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    # A job that this one submits is not to take its number of restarts for its own.
    environment = {name: value for name, value in os.environ.items() if name == "SLURM_CONF" or name[:6] != "SLURM_"}
    return answer(command, environment, text=text, seconds=_PATIENCE_SECONDS)


def _answer_to_termination(name: str) -> tuple[str, ...] | None:
    """What to call when SIGTERM has come. SLURM itself sees to what was cancelled or requeued by somebody.

    A preempted job that has a time of grace still runs: it is requeued only if it outlasts that time, or not at all.
    One that is cancelled without such a time is `COMPLETING`, as one that is being requeued is, with a restart more.
    """
    known = fields(_call("scontrol", "show", "job", "-o", name).stdout)
    if known.get("PreemptTime", "None") == "None":
        return None
    if known.get("JobState") in ("RUNNING", "SIGNALING"):
        return "scontrol", "requeue", name
    restarts = int(known["Restarts"][:9]) if known.get("Restarts", "").isdecimal() else 0
    if RESUBMIT not in os.environ or restarts > integer("SLURM_RESTART_COUNT", 0):
        return None
    task = os.environ.get("SLURM_ARRAY_TASK_ID")
    array = [] if task is None else [f"--array={task}"]
    return "sbatch", "--parsable", f"--dependency=afterany:{name}", *array  # the run is this job's until then


def requeue(number: int) -> Answer | None:
    """Put this process's SLURM job back into the queue, if the signal that stopped it asks for that.

    SIGUSR1 and SIGUSR2 do: the time limit is near. SIGTERM does if the job makes room for another and would not come
    back by itself. Returns what became of it; None if nothing was to be done.
    """
    name = job(os.environ)
    if name is None or number not in (*USER_SIGNALS, signal.SIGTERM):
        return None
    try:
        command = _answer_to_termination(name) if number == signal.SIGTERM else ("scontrol", "requeue", name)
        if command is None:
            return None
        again = command[0] == "sbatch"
        done = _call(*command, text=os.environ[RESUBMIT] if again else None)
    except FileNotFoundError:
        if number == signal.SIGTERM:
            return None
        return Answer(f"there is no scontrol here; the script of SLURM job {name} is to requeue it", True)
    except (OSError, subprocess.SubprocessError) as error:
        return Answer(f"SLURM job {name} could not be requeued ({error}); submit it again")
    if done.returncode and again:
        return Answer(f"SLURM job {name} is cancelled; sbatch refuses it ({' '.join(done.stderr.split())})")
    if done.returncode:
        return Answer(f"SLURM job {name} could not be requeued ({' '.join(done.stderr.split())}); submit it again")
    if again:
        return Answer(f"SLURM job {name} is cancelled; job {done.stdout.strip().partition(';')[0]} goes on")
    return Answer(f"SLURM job {name} is requeued")
