"""What the processes of a run tell each other when they meet, and what each has afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from repro.distributed.connection import Connection, Gone
from repro.machine import this_process

_DOORS = 5  # ports that are tried, from the first one on
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


def name_of(rank: int) -> str:
    """This process in words."""
    this = this_process()
    return f"rank {rank} (process {this['pid']} on {this['host']})"


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
