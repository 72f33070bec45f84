"""Rank 0's side of the meeting: it keeps the door, lets in who belongs to the run, and turns others away."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from repro.distributed.connection import Connection, Gone
from repro.distributed.meeting import Facts, Met, Place, differences, name_of
from repro.errors import UserError
from repro.text import ranges


def receive(place: Place, facts: Facts, wait_for: Callable[[str], None]) -> Met:
    """Open the door and wait for all others; `wait_for` is told for whom, and raises to end the wait."""
    hall = _Hall(place, facts)
    try:
        while missing := hall.missing():
            wait_for(f"rank{'s' * (len(missing) > 1)} {ranges(missing)}")
        hall.require_agreement()
    except BaseException:
        hall.close([*hall.inside.values()])
        raise
    finally:
        hall.close([hall.door, *hall.knocking])
    local = next((connection.socket.getsockname()[0] for connection in hall.inside.values()), "")
    return Met(hall.inside, hall.names, local)


class _Hall:
    """Rank 0's: the door, who has knocked, and who is inside."""

    def __init__(self, place: Place, facts: Facts) -> None:
        self.place = place
        self.door = _open(place)
        self.knocking: set[Connection] = set()
        self.inside: dict[int, Connection] = {}
        self.told, self.names = {0: facts}, {0: name_of(0)}

    def missing(self) -> list[int]:
        """Open to those who knock; returns which ranks are not here."""
        with suppress(BlockingIOError):
            while True:
                self.knocking.add(Connection(self.door.accept()[0]))
        for rank, connection in list(self.inside.items()):
            if not self._is_there(connection):
                self.close([self.inside.pop(rank)])
        for connection in list(self.knocking):
            if not self._is_there(connection):
                self.knocking.discard(connection)
                if connection not in self.inside.values():
                    self.close([connection])
        return [rank for rank in range(1, self.place.size) if rank not in self.inside]

    def _is_there(self, connection: Connection) -> bool:
        """Hear what it says; whether it is to be heard further in the same role."""
        try:
            for message in connection.receive():
                self._answer(connection, message)
        except Gone:
            return False
        return connection not in self.inside.values() or connection not in self.knocking

    def _answer(self, connection: Connection, message: Mapping[str, Any]) -> None:
        rank, facts, place = message.get("rank"), message.get("facts"), self.place
        same = message.get("token") == place.token and message.get("size") == place.size
        if not isinstance(rank, int) or not isinstance(facts, dict) or not same:  # anybody may knock
            rank = 0
        if not 0 < rank < place.size or rank in self.inside:
            connection.send(door=None)
            raise Gone("turned away")
        connection.send(door=place.token)
        self.inside[rank], self.told[rank], self.names[rank] = connection, dict(facts or {}), str(message.get("name"))

    def require_agreement(self) -> None:
        """Refuse all, if they were told different things."""
        if why := differences(self.told):
            for connection in self.inside.values():
                with suppress(Gone):
                    connection.send(refused=why)
            raise UserError(why)

    @staticmethod
    def close(ends: Iterable[Connection | socket.socket]) -> None:
        """Close connections, or the door."""
        for end in ends:
            end.close()


def _open(place: Place) -> socket.socket:
    for port in place.ports:
        try:
            door = socket.create_server(("", port), backlog=place.size)
        except OSError:
            continue
        door.setblocking(False)
        return door
    raise UserError(
        f"the ports {place.ports[0]} to {place.ports[-1]} of this machine are taken; set MASTER_PORT to a free one, "
        "the same for all processes"
    )
