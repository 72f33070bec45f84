"""What one process sees of another, through a real connection; runs of several are in `tests/runs/test_peers.py`."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from repro import waiting
from repro.distributed import main_thread, peers
from repro.distributed.connection import Connection
from repro.distributed.peers import Peers
from repro.distributed.sockets import connections_of_process, cut, interface_of
from repro.errors import PeerLost

NAMES = {0: "rank 0 (here)", 1: "rank 1 (there)"}


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Peers]]:
    """Rank 0 and rank 1, each with the end of one connection."""
    monkeypatch.setattr(peers, "BEAT_SECONDS", 0.02)
    ends = socket.socketpair()
    made = [Peers(rank, {1 - rank: Connection(ends[rank])}, NAMES, lambda: None) for rank in range(2)]
    yield made
    for end in ends:
        end.close()


def told(watch: Peers) -> str:
    ends = time.monotonic() + 10
    while watch.end is None and time.monotonic() < ends:
        time.sleep(0.01)
    assert isinstance(watch.end, PeerLost)
    return str(watch.end)


def test_why_one_ends_is_told(both: list[Peers]) -> None:
    for watch in both:
        watch.start()
    both[1].leave("the disk is full")
    assert told(both[0]) == "rank 1 (there) has ended: the disk is full; the run cannot go on without it"
    both[0].leave(None)


def test_who_ends_likewise_is_not_missed(both: list[Peers]) -> None:
    for watch in both:
        watch.start()
    both[1].leave(None)
    time.sleep(0.2)
    assert both[0].end is None
    both[0].leave(None)


def test_a_closed_connection_and_silence_are_told(both: list[Peers], monkeypatch: pytest.MonkeyPatch) -> None:
    both[0].start()
    monkeypatch.setattr(peers, "SILENT_SECONDS", 0.1)
    assert "rank 1 (there) has given no sign for" in told(both[0])
    both[0].leave(None)
    both[1].start()
    assert both[1].explain(RuntimeError("gloo: connection closed by peer")) is both[1].end
    both[1].leave(None)


def test_an_error_of_its_own_stays(both: list[Peers]) -> None:
    mine = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    assert both[0].explain(mine) is mine


def test_a_wait_for_a_silent_one_is_said_and_hears_a_request_to_stop(
    both: list[Peers], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peers, "SAY_SECONDS", 1.0)  # a busy machine may hold the watch up for a while
    monkeypatch.setattr(main_thread, "_BUSY", 2.0)  # the main thread counts as one that waits
    both[0].start()
    until = time.monotonic() + 30
    while "repro: waiting for rank 1 (there)" not in (said := capsys.readouterr().err) and time.monotonic() < until:
        time.sleep(0.05)
    assert said

    def stop(what: str) -> None:
        raise InterruptedError(what)

    with waiting.heard(stop):
        while both[0].end is None and time.monotonic() < until:
            time.sleep(0.02)
    assert isinstance(both[0].end, InterruptedError)
    assert str(both[0].end) == "rank 1 (there)"
    both[0].leave(None)


def test_only_connections_made_since_are_cut() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        pairs = []
        for _ in range(2):
            before = connections_of_process()
            made = socket.create_connection(server.getsockname())
            pairs.append((before, made, server.accept()[0]))
        cut(pairs[1][0])
        (_, old, old_end), (_, new, new_end) = pairs
        assert new.recv(1) == b""
        old_end.send(b"x")
        assert old.recv(1) == b"x"
        server.settimeout(1)
        for one, other in pairwise([old, old_end, new, new_end]):
            one.close()
            other.close()


def test_the_interface_of_an_address_is_no_other_hosts() -> None:
    assert interface_of("203.0.113.9") is None
    assert interface_of("127.0.0.1") is None
    assert interface_of("") is None
