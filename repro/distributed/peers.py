"""The other processes of a run, watched by a thread while the main one may wait for them inside of torch.

Each gives a sign every second, by the connection that it has from `repro.distributed.door`; rank 0 hands on what it
sees. Whoever ends says so, and why; a process that is killed leaves a closed connection, a node that is cut off leaves
silence.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from repro.distributed.connection import Connection, Gone
from repro.distributed.main_thread import MainThread
from repro.errors import PeerLost
from repro.text import say
from repro.waiting import SAY_SECONDS, Wait, until

BEAT_SECONDS = 1.0
SILENT_SECONDS = 60.0
"""A process that gives no sign for so long is given up."""
_LEAVE_SECONDS = 20.0  # for the main thread to come out of torch
_OF_OTHERS = re.compile("gloo|nccl|c10d|store|connection|timed out|broken pipe", re.IGNORECASE)  # errors of torch's


class Peers:
    """Watches the other processes from `start` to `leave`.

    Rank 0 has a connection to each of the others, these to rank 0. `break_off` ends what torch exchanges with them, so
    that the main thread comes out of it.
    """

    def __init__(
        self,
        rank: int,
        connections: Mapping[int, Connection],
        names: Mapping[int, str],
        break_off: Callable[[], None],
    ) -> None:
        self.rank, self.names = rank, names
        self.end: Exception | None = None
        """Why no exchange can succeed any more: another process has gone, or this one is to stop."""
        self._why: str | None = None
        self._connections = dict(connections)
        self._break_off = break_off
        self._idle: dict[int, float] = {}
        self._heard = dict.fromkeys(connections, time.monotonic())
        self._told: dict[str, Any] = {"awaited": [], "stuck": False}  # by rank 0
        self._main = MainThread(apart=BEAT_SECONDS / 2)
        self._beaten = time.monotonic()
        self._ended = 0.0
        self._wait: Wait | None = None
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="repro-peers")

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def leave(self, why: str | None) -> None:
        """End the watch, and tell the others why this process ends; None if they end likewise."""
        self._left.set()
        self._thread.join(_LEAVE_SECONDS)
        why = self._why or why
        if self.rank == 0 and isinstance(self.end, PeerLost):  # they were told
            why = None
        for connection in self._connections.values():
            with contextlib.suppress(Gone):
                connection.send(left=why and f"{self.names[self.rank]} has ended: {why}")
            connection.close()

    def explain(self, error: BaseException) -> BaseException:
        """What has really happened when torch could not exchange something; the error itself if it is no such."""
        if isinstance(error, RuntimeError) and _OF_OTHERS.search(str(error)):
            until(lambda: self.end is not None, "word of the other processes", seconds=3 * BEAT_SECONDS)
        return error if self.end is None or not isinstance(error, RuntimeError) else self.end

    def _watch(self) -> None:
        while not self._left.wait(BEAT_SECONDS):
            if self.end is None:
                self._beat()
            elif self._main.idle() > _LEAVE_SECONDS < time.monotonic() - self._ended:
                say(self.end)  # torch does not let the main thread go
                os._exit(1)

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._beaten > SAY_SECONDS:  # this process itself was stopped, and hears only now
            self._heard = dict.fromkeys(self._heard, now)
        self._beaten = now
        awaited, stuck = self._awaited(now)
        for rank, connection in list(self._connections.items()):
            try:
                for message in connection.receive():  # first: who has gone may have said why
                    self._heard[rank] = now
                    self._take(rank, message)
                    if rank not in self._connections:  # its last word
                        break
                else:
                    with contextlib.suppress(Gone):
                        connection.send(idle=self._main.idle(), awaited=awaited, stuck=stuck)
            except Gone:
                self._lose(f"{self.names[rank]} has gone: it was killed, or its node is down")
            else:
                if now - self._heard[rank] > SILENT_SECONDS:
                    self._lose(f"{self.names[rank]} has given no sign for {SILENT_SECONDS:.0f} seconds")
        self._look(*self._awaited(now))

    def _take(self, rank: int, message: dict[str, Any]) -> None:
        if "left" in message:
            self._connections.pop(rank).close()
            if message["left"] is not None:
                self._lose(str(message["left"]))
        else:
            self._idle[rank] = float(message["idle"])
            if rank == 0:
                self._told = message

    def _lose(self, what: str) -> None:
        if self.end is None:
            self._stop(PeerLost(f"{what}; the run cannot go on without it"), what)
            for connection in self._connections.values():
                with contextlib.suppress(Gone):
                    connection.send(left=what)

    def _stop(self, reason: Exception, why: str) -> None:
        self.end, self._why, self._ended = reason, why, time.monotonic()
        self._break_off()

    def _awaited(self, now: float) -> tuple[list[int], bool]:
        """Which ranks keep the others waiting, and whether nobody is at work: silent ones, else those that work."""
        silent = [rank for rank in self._connections if now - self._heard[rank] > SAY_SECONDS]
        if self.rank != 0:
            return (silent, True) if silent else (list(self._told["awaited"]), bool(self._told["stuck"]))
        idle = {0: self._main.idle()} | {rank: self._idle.get(rank, 0.0) for rank in self._connections}
        working = [rank for rank, seconds in idle.items() if seconds < SAY_SECONDS and rank not in silent]
        return silent or working, not working

    def _look(self, awaited: Sequence[int], stuck: bool) -> None:
        """Say whom the main thread waits for; end its wait if it is to stop and nobody is at work."""
        others = [rank for rank in awaited if rank != self.rank]
        if self._main.idle() < SAY_SECONDS or not (others or stuck) or self.end is not None:
            self._wait = None
            return
        whom = ", ".join(self.names[rank] for rank in others) or "the other processes, which all wait"
        self._wait = self._wait or Wait("", said_after=0.0)
        self._wait.what = whom
        if not stuck:
            self._wait.say()
            return
        try:
            self._wait.look()
        except Exception as reason:  # whoever listens says by it that this process is to stop
            self._stop(reason, str(reason))
