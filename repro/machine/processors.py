"""How many processors this process may use."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from repro.machine.groups import groups


def processors(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> int:
    """Processors that this process may use: what its affinity, its SLURM task and its control groups leave.

    Parts of a processor do not count, but for the first: half a processor is one.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([count, *_of_slurm(environment), *_of_groups(root)])))


def _of_slurm(environment: Mapping[str, str]) -> Iterator[int]:
    """What SLURM gives a task: not every cluster binds it to its processors."""
    per_task, on_node, tasks = (
        int(match[0]) if (match := re.match(r"[1-9]\d*", environment.get(f"SLURM_{name}", ""))) else None
        for name in ("CPUS_PER_TASK", "CPUS_ON_NODE", "STEP_TASKS_PER_NODE")
    )
    if per_task is not None:
        yield per_task
    elif on_node is not None:
        yield on_node // (tasks or 1)


def _of_groups(root: Path) -> Iterator[float]:
    """Processor time in a unit of time, of every control group that has a limit."""
    for version, folder in groups("cpu", root):
        names = ["cpu.max"] if version == 2 else ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        try:
            quota, period = " ".join((folder / name).read_text(encoding="ascii") for name in names).split()
            if quota not in ("max", "-1"):
                yield int(quota) / int(period)
        except (OSError, ValueError, ZeroDivisionError):
            continue
