"""SLURM's commands, asked with patience, and what they print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from repro.errors import UserError
from repro.runs.requeue import answer, fields

PATIENCE_SECONDS = 60


def call(*command: str, text: str | None = None) -> str:
    """What one of SLURM's commands prints; `UserError` if it is not there, refuses, or does not answer."""
    # The scripts look `python` up: it is to be this one.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"}
    try:
        done = answer(command, environment, text=text, seconds=PATIENCE_SECONDS)
    except FileNotFoundError as error:
        raise UserError(f"there is no `{command[0]}` here; submit on a login node of a SLURM cluster") from error
    except OSError as error:
        raise UserError(
            f"cannot start `{command[0]}`: {error.strerror}; ask your admins, or repair your PATH"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"`{command[0]}` has not answered for {PATIENCE_SECONDS} s; is the cluster's controller up? (sinfo)"
        ) from error
    if done.returncode:
        raise UserError(f"{command[0]} refuses: {_reason(done.stderr)}")
    return done.stdout


def _reason(said: str) -> str:
    """What a command of SLURM's says, and which names it would take."""
    reason = " ".join(said.replace("sbatch: error: ", "").split())[:500] or "it does not say why"
    if "invalid partition" in reason.lower():
        reason += "; sinfo --summarize lists the partitions"
    elif "invalid account" in reason.lower():
        reason += "; sacctmgr show associations user=$USER lists the accounts, partitions and QOS"
    return reason


def submit(script: str, *options: str) -> str:
    """Hand a script to sbatch; returns the job's number."""
    try:
        printed = call("sbatch", "--parsable", *options, text=script)
    except UserError as error:
        if isinstance(error.__cause__, subprocess.TimeoutExpired):
            raise UserError(
                f"{error}; should the job be there after all (squeue --me), it does no harm: no two jobs train one run"
            ) from error
        raise
    numbers = re.findall(r"^(?:Submitted batch job )?([1-9][0-9]*)(?:;.*)?$", printed, re.MULTILINE)
    if len(numbers) != 1:  # around it, greetings of the site's
        said = (printed.split("\n") if printed.strip() else ["nothing"])[0][:100]
        raise UserError(
            f"sbatch answers '{said}', and not with a job's number; squeue --me tells whether the "
            "job is there (it does no harm: no two jobs train one run)"
        )
    return str(numbers[0])


def job(number: str) -> dict[str, str]:
    """What SLURM knows of a job, by the keys of ``scontrol show job``; `UserError` if it knows none."""
    return fields(call("scontrol", "show", "job", "-o", number))


def seconds(limit: str) -> float:
    """A time limit of SLURM's in seconds: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS; UNLIMITED."""
    if limit.upper() in ("UNLIMITED", "INFINITE"):
        return float("inf")
    if not re.fullmatch(r"([0-9]{1,6}-)?[0-9]{1,9}(:[0-9]{1,9}){0,2}", limit):
        raise UserError(f"--time is '{limit}'; allowed: minutes, HH:MM:SS, D-HH:MM:SS, UNLIMITED")
    days, dash, rest = limit.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if not dash and len(parts) < 3:
        parts.insert(0, 0)
    hours, minutes, rest_seconds = [*parts, 0, 0][:3]
    return 86_400.0 * int(days or 0) + 3_600 * hours + 60 * minutes + rest_seconds


def log_pattern(folder: Path) -> str:
    """A folder in a file name pattern of SLURM's, where a per cent sign begins a placeholder.

    `UserError` for one with a backslash, after which SLURM fills in no placeholder.
    """
    if "\\" in str(folder):
        raise UserError(
            f"'{folder}' has a backslash, which SLURM does not take in the names of logs; choose other --runs"
        )
    return str(folder).replace("%", "%%")
