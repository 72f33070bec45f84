"""How much memory a process may still take, as the kernel and a batch job's limit have it; what it keeps for itself."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from repro.machine.groups import groups

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


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


def keep_heap() -> bool:
    """Let glibc keep the memory that a step frees, for the next step; returns whether the C library is glibc.

    By default it hands the top of the heap back to the kernel after every backward pass and faults it in again page by
    page: 27,000 to 35,000 faults and 6 to 9 % of a step of PlainNet-110 (width 8, batch 128) in the second and third
    run of a process; none with this, for 5 % more memory.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    # The first is where glibc's own adjustment ends as well; setting one of them ends that adjustment.
    return bool(libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20) and libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
