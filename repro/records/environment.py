"""What a run ran on: versions, commit, device, SLURM. Never the whole environment, never a secret."""

from __future__ import annotations

import os
import platform
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from repro.machine import processors

_PACKAGES = ("repro", "torch", "torchvision", "lightning", "torchmetrics", "timm", "wandb", "numpy", "mlxtend")
_SLURM = (
    "JOB_ID",
    "JOB_NAME",
    "ARRAY_JOB_ID",
    "ARRAY_TASK_ID",
    "RESTART_COUNT",
    "NNODES",
    "NTASKS",
    "JOB_NODELIST",
    "JOB_PARTITION",
    "CLUSTER_NAME",
)
_SECRET = re.compile(r"(key|token|secret|password)", re.IGNORECASE)


def now() -> str:
    """The time in UTC to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that determine results."""
    packages = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            packages[name] = "not installed"
    return packages


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def commit() -> dict[str, Any]:
    """The commit of the source tree that runs, and whether files that git tracks differ from it."""
    tracked = _git("ls-files", "--error-unmatch", Path(__file__).name)  # not a repository that merely surrounds us
    head = _git("rev-parse", "HEAD") if tracked else None
    changes = _git("status", "--porcelain", "--untracked-files=no") if head else None
    return {"commit": head, "dirty": None if changes is None else bool(changes)}


def command_line() -> list[str]:
    """The command line, with the value of anything that looks like a secret replaced."""
    shown: list[str] = []
    hide = False
    for argument in sys.argv:
        key, separator, _ = argument.partition("=")
        if hide:
            shown.append("***")
        elif separator and _SECRET.search(key):
            shown.append(f"{key}=***")
        else:
            shown.append(argument)
        hide = not separator and argument.startswith("--") and _SECRET.search(argument) is not None
    return shown


def environment() -> dict[str, Any]:
    """One life of a run: when, where, with what. The caller adds device, precision, world size and checksums."""
    slurm = {f"SLURM_{name}": os.environ[f"SLURM_{name}"] for name in _SLURM if f"SLURM_{name}" in os.environ}
    return {
        "started": now(),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "processors": processors(),
        "versions": versions(),
        **commit(),
        "command": command_line(),
        "slurm": slurm,
    }
