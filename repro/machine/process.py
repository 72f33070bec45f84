"""Processes, known by more than their numbers, which are others' in another container or after a while; their locks."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PROC = Path("/proc")


def this_process() -> dict[str, Any]:
    """Host, the kernel's start, the numbers' namespace, number and start of this process; None where none is told."""
    return {
        "host": socket.gethostname(),
        "boot": _read(_PROC / "sys/kernel/random/boot_id"),
        "namespace": _namespace(),
        "pid": os.getpid(),
        "started": _state(os.getpid())[1],
    }


def lives(process: Mapping[str, Any]) -> bool | None:
    """Whether a process that `this_process` has described still runs; None if that cannot be told from here.

    That of another machine cannot, nor that of another container, even if it has this one's host name: its numbers
    mean other processes.
    """
    this = this_process()
    boot = this["boot"] if process.get("boot") else None
    if boot and (process["boot"], process.get("namespace")) != (this["boot"], this["namespace"]):
        return None
    if not boot and process.get("host") != this["host"]:
        return None
    pid = process.get("pid")
    if not isinstance(pid, int) or not 0 < pid < 2**31:
        return None
    state, started = _state(pid)
    if state is not None:
        return state not in "ZX" and process.get("started") in (None, started)  # Z: ended, and not waited for
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def lock_file(number: int) -> bool | None:
    """Lock an open file or folder until this process ends, unless another has; None where there are no locks."""
    try:
        import fcntl

        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:  # not Linux, or hidden
        return None


def _namespace() -> str | None:
    try:
        return os.readlink(_PROC / "self/ns/pid")  # noqa: PTH115 (it leads to no path)
    except OSError:
        return None


def _state(pid: int) -> tuple[str | None, int | None]:
    """A process's state, and ticks from the kernel's start to its own (see proc(5)); None where that is not told."""
    stat = (_read(_PROC / f"{pid}/stat") or "").rpartition(")")[2].split()  # a program's name may hold anything
    return (stat[0], int(stat[19])) if len(stat) > 19 else (None, None)
