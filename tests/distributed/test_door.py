"""Where processes meet: who is let in, what is compared, what is said of those that do not come."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from repro import waiting
from repro.distributed import door
from repro.distributed.connection import Connection
from repro.distributed.door import meet
from repro.distributed.meeting import Met, Place, differences
from repro.errors import PeerLost, UserError


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(min(probe.getsockname()[1], 65_000))


def place(rank: int, port: int, *, size: int = 2, token: str = "7.0.0") -> Place:
    return Place(rank=rank, size=size, address="127.0.0.1", port=port, token=token)


def meeting(*members: tuple[Place, dict[str, str]]) -> list[Any]:
    """What meeting gives each, an exception among it."""

    def one(member: tuple[Place, dict[str, str]]) -> Met | Exception:
        mine, facts = member
        try:
            met = meet(mine, facts, checkpoint=f"step-{mine.rank}")
        except Exception as error:
            return error
        if mine.rank == 0:
            met.tell(1234)
        made.extend(met.connections.values())
        return met

    made: list[Connection] = []
    with ThreadPoolExecutor(len(members)) as pool:
        met = list(pool.map(one, members))
    for connection in made:
        connection.close()
    return met


def test_all_know_all_and_go_on_from_what_rank_0_goes_on_from(port: int) -> None:
    met = meeting(*((place(rank, port, size=3), {"seed": "0"}) for rank in (2, 0, 1)))
    assert [each.checkpoint for each in met] == ["step-0"] * 3
    assert [set(each.connections) for each in met] == [{0}, {1, 2}, {0}]
    assert [each.store for each in met] == [("127.0.0.1", 1234), None, ("127.0.0.1", 1234)]
    assert all(set(each.names) == {0, 1, 2} for each in met)
    assert met[0].names[1].startswith("rank 1 (process ")


def test_those_that_were_told_different_things_do_not_train(port: int) -> None:
    first, second = meeting((place(0, port), {"seed": "0", "a": "1"}), (place(1, port), {"seed": "1", "a": "1"}))
    assert isinstance(first, UserError)
    assert isinstance(second, UserError)
    assert str(first) == str(second)
    assert "seed is 0 on rank 0 and 1 on rank 1; start all of them by one command" in str(first)


def test_differences_are_named_and_counted() -> None:
    assert differences({0: {"a": "1"}, 1: {"a": "1"}}) is None
    told = differences({0: dict.fromkeys("abcdef", "1"), 1: dict.fromkeys("abcdef", "2")})
    assert told is not None
    assert "d is 1 on rank 0 and 2 on rank 1 and 2 more" in told
    assert "commit is not set on rank 0" in str(differences({0: {}, 1: {"commit": "f"}}))


def test_two_steps_at_one_port_do_not_mix(port: int) -> None:
    """As before every step had a port of its own: the natural race, and a program of another kind beside."""
    with socket.create_server(("", port)):  # takes calls, and answers nothing
        members = [place(rank, port, token=token) for token in ("7.0.0", "7.1.0") for rank in (0, 1)]
        met = meeting(*((each, {"step": each.token}) for each in members))
    assert all(isinstance(each, Met) for each in met)
    names = [each.names for each in met]
    assert names[0] == names[1]
    assert names[2] == names[3]


def test_who_does_not_come_is_named(port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(waiting, "SAY_SECONDS", 0.05)
    monkeypatch.setattr(door, "PATIENCE_SECONDS", 0.3)
    with pytest.raises(UserError, match="ranks 1 to 3 did not come to 127.0.0.1:"):
        meet(place(0, port, size=4), {})
    assert f"waiting for ranks 1 to 3 of 4 processes, at 127.0.0.1:{port}" in capsys.readouterr().err
    with pytest.raises(UserError, match="rank 0 did not come"):
        meet(place(1, port), {})


def test_a_wait_for_others_hears_a_request_to_stop(port: int) -> None:
    def stop(what: str) -> None:
        raise InterruptedError(what)

    with waiting.heard(stop), pytest.raises(InterruptedError, match="rank 1 of 2 processes"):
        meet(place(0, port), {})


def test_all_ports_taken(port: int) -> None:
    taken = [socket.create_server(("", port + number)) for number in range(5)]
    with pytest.raises(UserError, match=f"the ports {port} to {port + 4} of this machine are taken; set MASTER_PORT"):
        meet(place(0, port), {})
    for server in taken:
        server.close()


@pytest.mark.parametrize(
    "said",
    [b'{"rank": "x"}', b'{"rank": null}', b'{"rank": [1]}', b'{"rank": 1, "token": "7.0.0", "size": 2}', b"[" * 9999],
)
def test_strangers_who_knock_are_turned_away(said: bytes, port: int) -> None:
    """A port scanner must not end a run, whatever it says, token or not."""

    def stranger() -> None:
        until = time.monotonic() + 5.0
        while time.monotonic() < until:
            with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 5.0) as end:
                end.sendall(said + b"\n")
                end.recv(100)
                return
        raise AssertionError("there is no door")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(meet, place(0, port), {})
        pool.submit(stranger).result()
        second = pool.submit(meet, place(1, port), {})
        met = first.result()
        met.tell(1234)
        assert set(met.connections) == {1}
        for each in (met, second.result()):
            for connection in each.connections.values():
                connection.close()


def test_rank_0_that_ends_meanwhile_is_told(port: int) -> None:
    found: list[BaseException] = []

    def second() -> None:
        try:
            meet(place(1, port, size=3), {})
        except PeerLost as error:
            found.append(error)

    def give_up() -> None:
        if time.monotonic() > ends:
            raise InterruptedError

    ends = time.monotonic() + 0.5
    thread = threading.Thread(target=second)
    thread.start()
    with pytest.raises(InterruptedError):
        meet(place(0, port, size=3), {}, look=give_up)
    thread.join(10)
    assert str(found[0]) == "rank 0 has gone before the first step"
