"""How much memory a process may still take, as the kernel and a batch job's limit have it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from repro.machine.groups import groups


def available_memory(root: Path = Path("/")) -> int:
    """Bytes of memory that this process may still take without swapping.

    The host's, page cache that can be dropped included, or what its control group (a SLURM job's memory limit, a
    container's) leaves, where that is less.
    """
    return min([_of_host(root), *_of_groups(root)])


def shared_memory() -> int | None:
    """Bytes that are free for what processes hand each other (/dev/shm, which containers make small); None: no such."""
    if sys.platform != "linux":
        return sys.maxsize
    try:
        return shutil.disk_usage("/dev/shm").free
    except OSError:
        return None


def _of_host(root: Path) -> int:
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):  # not Linux
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_groups(root: Path) -> Iterator[int]:
    """What every control group above this process leaves."""
    for version, folder in groups("memory", root):
        names = (
            ("memory.max", "memory.current", "inactive_file")
            if version == 2
            else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        )
        left = _left(folder, *names)
        if left is not None:
            yield left


def _left(folder: Path, limit: str, usage: str, droppable: str) -> int | None:
    """What a control group leaves; None where it has no limit."""
    try:
        most, used = ((folder / name).read_text(encoding="ascii").strip() for name in (limit, usage))
        stat = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        return None if most == "max" else max(0, int(most) - int(used) + int(stat.get(droppable, 0)))
    except (OSError, ValueError):
        return None
