"""Where the processes of a run meet before the first step: rank 0 keeps a door, the others knock.

torch's own meeting place waits half an hour, hears nothing meanwhile, and lets in whoever comes. Here each wait is one
of `repro.waiting`, processes of another step are turned away, and those that were told different things do not train.
"""

from __future__ import annotations

import dataclasses
import itertools
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from repro.distributed.connection import Connection, Gone
from repro.distributed.hall import receive
from repro.distributed.meeting import Facts, Met, Place, name_of
from repro.errors import PeerLost, UserError
from repro.waiting import Wait

PATIENCE_SECONDS = 600.0
"""How long all may take to come: nodes read the same packages from one disk."""
_ANSWER_SECONDS = 3.0
_LOOK_SECONDS = 0.02


def meet(place: Place, facts: Facts, *, checkpoint: str | None = None, look: Callable[[], None] = lambda: None) -> Met:
    """Wait for all processes of a run; `look` is called time and again, and raises to end the wait.

    The checkpoint is what this one would go on from; rank 0's counts, which others may not see yet. `UserError` where
    they were told different things, did not come, or all ports are taken; `PeerLost` where rank 0 has gone meanwhile.
    """
    if place.rank == 0:
        return dataclasses.replace(receive(place, facts, _Patience(place, look).look), checkpoint=checkpoint)
    return _knock(place, facts, look)


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


def _knock(place: Place, facts: Facts, look: Callable[[], None]) -> Met:
    patience = _Patience(place, look)
    ports = itertools.cycle(place.ports)
    hello = {"token": place.token, "rank": place.rank, "size": place.size, "facts": facts, "name": name_of(place.rank)}
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
