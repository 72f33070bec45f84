"""Who asks a run to stop, and how soon: signals and the clock."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace

import pytest

from repro.runs.stop import LAST_SECONDS, OUT_OF_TIME, TAKEN_OVER, StopRequest


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr("repro.runs.stop.time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def test_without_a_budget_the_clock_never_asks(clock: SimpleNamespace) -> None:
    stop = StopRequest()
    clock.seconds = 1e12
    assert not stop
    assert not stop.is_urgent()


def test_the_clock_asks_as_long_before_the_end_as_a_stop_takes(clock: SimpleNamespace) -> None:
    stop = StopRequest(ends=1100.0)
    stop.notice = 20
    clock.seconds = 1100 - LAST_SECONDS - 20.1
    assert not stop
    clock.seconds += 0.2
    assert stop.signal == OUT_OF_TIME
    stop.notice = 0  # what has been asked is not taken back
    assert stop


def test_at_the_end_of_the_budget_an_evaluation_is_left_not_before(clock: SimpleNamespace) -> None:
    stop = StopRequest(ends=1100.0)
    stop.notice = 60
    clock.seconds = 1090
    assert stop
    assert not stop.is_urgent()
    clock.seconds = 1100 - LAST_SECONDS
    assert stop.is_urgent()


def test_after_a_signal_it_is_left_when_patience_ends(clock: SimpleNamespace) -> None:
    stop = StopRequest(ends=1100.0)
    with stop.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        clock.seconds += 20
        assert stop.signal == signal.SIGTERM
        assert not stop.is_urgent()
        clock.seconds += 1
        assert stop.is_urgent()


def test_a_signal_counts_more_than_the_clock_and_a_takeover_more_than_both(clock: SimpleNamespace) -> None:
    stop = StopRequest(ends=1000.0)
    asked = [stop.signal]
    for ask in (lambda: stop.ask(signal.SIGUSR1), stop.taken_over, lambda: stop.ask(signal.SIGINT)):
        ask()
        asked.append(stop.signal)
    assert asked == [OUT_OF_TIME, signal.SIGUSR1, TAKEN_OVER, TAKEN_OVER]
