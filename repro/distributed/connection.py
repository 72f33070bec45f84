"""A line of JSON at a time between two processes, without ever waiting."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

_LONGEST = 2**20  # of a message, in bytes: a stranger may knock and send anything


class Gone(Exception):
    """The other process has closed the connection, or speaks another language."""


class Connection:
    """One end of a connected socket."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self.socket = end
        self._in = self._out = b""

    def send(self, **message: Any) -> None:
        """Send a message, as far as the other end takes it now; the rest goes with the next one. Raises `Gone`."""
        self._out += json.dumps(message).encode() + b"\n"
        try:
            while self._out:
                self._out = self._out[self.socket.send(self._out) :]
        except BlockingIOError:
            pass
        except OSError as error:
            raise Gone(error.strerror) from error

    def receive(self) -> Iterator[dict[str, Any]]:
        """What has come; `Gone` after the last message, if nothing more can come."""
        closed = False
        try:
            while (chunk := self.socket.recv(2**16)) and len(self._in) < _LONGEST:
                self._in += chunk
            closed = True
        except BlockingIOError:
            pass
        except OSError:
            closed = True
        while (end := self._in.find(b"\n")) >= 0:  # one at a time: the reader may come back for the rest
            line, self._in = self._in[:end], self._in[end + 1 :]
            try:
                message = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise Gone("it speaks another language") from error
            if isinstance(message, dict):
                yield message
        if closed:
            raise Gone("the connection is closed")

    def close(self) -> None:
        """Close this end; what was sent still arrives."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
        self.socket.close()
