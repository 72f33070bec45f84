"""The TCP connections of this process, and cutting those that torch has made."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from pathlib import Path


def connections_of_process() -> dict[int, tuple[int, int]]:
    """The TCP connections that this process has, by file descriptor: what tells them from later ones."""
    found = {}
    for name in os.listdir("/proc/self/fd") if Path("/proc/self/fd").is_dir() else ():  # noqa: PTH208 (of numbers)
        with contextlib.suppress(OSError):
            known = os.fstat(int(name))
            with socket.socket(fileno=os.dup(int(name))) as end:
                if end.family in (socket.AF_INET, socket.AF_INET6) and end.type == socket.SOCK_STREAM:
                    end.getpeername()  # it fails for one that listens
                    found[int(name)] = (known.st_dev, known.st_ino)
    return found


def cut(before: Mapping[int, tuple[int, int]]) -> None:
    """Cut the TCP connections that were made since: gloo ends an exchange by an error only when one breaks."""
    for descriptor, known in connections_of_process().items():
        if known not in before.values():
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as end:
                end.shutdown(socket.SHUT_RDWR)
