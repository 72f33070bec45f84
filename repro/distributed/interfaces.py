"""Which network interface has an address: gloo takes that of the host's name, which may be one of this host alone."""

from __future__ import annotations

import fcntl
import socket
import struct

_SIOCGIFADDR = 0x8915  # ioctl of Linux: an interface's IPv4 address


def interface_of(address: str) -> str | None:
    """The interface that has an IPv4 address; None if none has, for the loopback, and where that is not told."""
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
