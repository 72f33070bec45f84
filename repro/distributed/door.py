"""Where the processes of a run meet before the first step: rank 0 keeps a door, the others knock.

torch's own meeting place waits half an hour, hears nothing meanwhile, and lets in whoever comes. Here each wait is one
of `repro.waiting`, processes of another step are turned away, and those that were told different things do not train.
"""

from __future__ import annotations

import dataclasses
import itertools
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from repro.distributed.connection import Connection, Gone
from repro.errors import PeerLost, UserError
from repro.machine import this_process
from repro.text import ranges
from repro.waiting import Wait

PATIENCE_SECONDS = 600.0
"""How long all may take to come: nodes read the same packages from one disk."""
_DOORS = 5  # ports that are tried, from the first one on
_ANSWER_SECONDS = 3.0
_LOOK_SECONDS = 0.02
_NAMED = 4  # differences

Facts = Mapping[str, str]
"""What a process was told, by name: all of a run must have been told the same."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """One process's place among all, and where they meet."""

    rank: int
    size: int
    address: str
    port: int
    token: str = ""
    """What processes that belong together share."""

    @property
    def ports(self) -> range:
        """Where the door may be: others may use the first ones."""
        return range(self.port, min(self.port + _DOORS, 2**16))


@dataclass(frozen=True)
class Met:
    """What a process has after the meeting: rank 0 a connection to each, the others one to rank 0."""

    connections: dict[int, Connection]
    names: dict[int, str]
    """Each rank in words: rank 1 (process 77 on r2)."""
    local: str
    """The address by which this process reaches the others."""
    store: tuple[str, int] | None = None
    """Address and port of torch's store; None on rank 0, which is to open one and to call `tell`."""
    checkpoint: str | None = None
    """The name of the checkpoint that rank 0 goes on from."""

    def tell(self, port: int) -> None:
        """Say to the others at which port the store is, and what rank 0 has settled."""
        names = {str(rank): name for rank, name in self.names.items()}
        for connection in self.connections.values():
            with suppress(Gone):  # the watch will tell
                connection.send(store=port, names=names, checkpoint=self.checkpoint)


def meet(place: Place, facts: Facts, *, checkpoint: str | None = None, look: Callable[[], None] = lambda: None) -> Met:
    """Wait for all processes of a run; `look` is called time and again, and raises to end the wait.

    The checkpoint is what this one would go on from; rank 0's counts, which others may not see yet. `UserError` where
    they were told different things, did not come, or all ports are taken; `PeerLost` where rank 0 has gone meanwhile.
    """
    if place.rank == 0:
        return dataclasses.replace(_receive(place, facts, look), checkpoint=checkpoint)
    return _knock(place, facts, look)


def differences(facts: Mapping[int, Facts]) -> str | None:
    """In what processes differ from rank 0, in words; None if in nothing."""
    first = facts[0]
    found = []
    for rank, theirs in facts.items():
        for name in {**first, **theirs}:
            ours, other = first.get(name, "not set"), theirs.get(name, "not set")
            if ours != other:
                found.append(f"{name} is {ours} on rank 0 and {other} on rank {rank}")
    if not found:
        return None
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return (
        f"the processes do not agree, and do not train together: {'; '.join(found[:_NAMED])}{more}; "
        "start all of them by one command (srun, torchrun)"
    )


class _Patience:
    """A wait for others that ends in an error after `PATIENCE_SECONDS`."""

    def __init__(self, place: Place, look: Callable[[], None]) -> None:
        self._place, self._look, self._wait = place, look, Wait("")

    def look(self, whom: str) -> None:
        place = self._place
        self._wait.what = f"{whom} of {place.size} processes, at {place.address}:{place.port}"
        self._look()
        self._wait.look()
        if self._wait.seconds > PATIENCE_SECONDS:
            raise UserError(
                f"{whom} did not come to {place.address}:{place.port} within {PATIENCE_SECONDS / 60:.0f} minutes; "
                "start all processes at once, and see that each node reaches this address, or set MASTER_ADDR and "
                "MASTER_PORT to one that it does"
            )
        time.sleep(_LOOK_SECONDS)


def _name(rank: int) -> str:
    this = this_process()
    return f"rank {rank} (process {this['pid']} on {this['host']})"


def _receive(place: Place, facts: Facts, look: Callable[[], None]) -> Met:
    patience, hall = _Patience(place, look), _Hall(place, facts)
    try:
        while missing := hall.missing():
            patience.look(f"rank{'s' * (len(missing) > 1)} {ranges(missing)}")
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
        self.told, self.names = {0: facts}, {0: _name(0)}

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


def _knock(place: Place, facts: Facts, look: Callable[[], None]) -> Met:
    patience = _Patience(place, look)
    ports = itertools.cycle(place.ports)
    hello = {"token": place.token, "rank": place.rank, "size": place.size, "facts": facts, "name": _name(place.rank)}
    while (connection := _enter((place.address, next(ports)), place.token, hello)) is None:
        patience.look("rank 0")
    try:
        while (verdict := next(connection.receive(), None)) is None:
            patience.look("rank 0, which waits for others, and all")
    except BaseException as error:
        connection.close()
        if isinstance(error, Gone):
            raise PeerLost("rank 0 has gone before the first step") from error
        raise
    if why := verdict.get("refused"):
        connection.close()
        raise UserError(str(why))
    names = {int(rank): name for rank, name in verdict["names"].items()}
    store = (place.address, int(verdict["store"]))
    return Met(
        {0: connection}, names, connection.socket.getsockname()[0], store=store, checkpoint=verdict["checkpoint"]
    )


def _enter(address: tuple[str, int], token: str, hello: Mapping[str, object]) -> Connection | None:
    """Knock; None if nobody opens, or somebody else."""
    try:
        connection = Connection(socket.create_connection(address, timeout=_ANSWER_SECONDS))
    except OSError:
        return None
    with suppress(Gone):
        connection.send(**hello)
        until = time.monotonic() + _ANSWER_SECONDS
        while (answer := next(connection.receive(), None)) is None and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
        if answer is not None and answer.get("door") == token:
            return connection
    connection.close()
    return None
