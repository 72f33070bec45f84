"""The TCP connections of this process, cutting those that torch has made, and the interface of an address."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Mapping
from pathlib import Path

_SIOCGIFADDR = 0x8915  # ioctl of Linux: an interface's IPv4 address


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


def interface_of(address: str) -> str | None:
    """The network interface that has an IPv4 address; None if none has, for the loopback, and where that is not told.

    Gloo takes that of the host's name, which may be one of this host alone.
    """
    if not address or address.startswith("127."):
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:  # it has none, or this is not Linux
                continue
            if socket.inet_ntoa(answer[20:24]) == address:
                return name
    return None
