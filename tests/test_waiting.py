"""Every wait hears a request to stop and says what it waits for."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from repro import waiting
from repro.data.preparation.files import alone
from repro.runs import stop
from repro.runs.stop import Interrupted, StopRequest


def test_a_wait_ends_when_it_is_over_or_in_time(capsys: pytest.CaptureFixture[str]) -> None:
    answers = iter([False, False, True])
    assert waiting.until(lambda: next(answers), "three answers")
    assert not waiting.until(lambda: False, "nothing", seconds=0.1)
    assert capsys.readouterr().err == ""


def test_a_long_wait_says_once_what_it_waits_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "SAY_SECONDS", 0.05)
    waiting.until(lambda: False, "Godot", seconds=0.3)
    assert capsys.readouterr().err == "repro: waiting for Godot\n"


@pytest.mark.parametrize("budget", [False, True])
def test_a_wait_hears_signals_and_the_budget(budget: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(stop, "LAST_SECONDS", 0.0)
    request = StopRequest(time.monotonic() + 0.2) if budget else StopRequest()
    with request.listening():
        if not budget:
            request.ask(15)
        with pytest.raises(Interrupted, match="stopped while waiting for Godot") as caught:
            waiting.until(lambda: False, "Godot", seconds=20.0)
    assert caught.value.signal == (stop.OUT_OF_TIME if budget else 15)
    assert waiting.until(lambda: True, "nobody who listens any more")


def test_the_wait_for_another_process_that_prepares_the_same_data_is_heard(tmp_path: Path) -> None:
    def stop(what: str) -> None:
        raise InterruptedError(what)

    with alone(tmp_path / "lock") as locked:
        assert locked
        with waiting.heard(stop), pytest.raises(InterruptedError, match="prepares the same data"):
            alone(tmp_path / "lock").__enter__()
    with alone(tmp_path / "lock") as locked:
        assert locked


def test_a_call_that_blocks_is_waited_for_and_left_when_a_listener_wants_to_go() -> None:
    def stop(what: str) -> None:
        raise InterruptedError(what)

    assert waiting.outcome(lambda: 7, "an answer") == 7
    with pytest.raises(ZeroDivisionError):
        waiting.outcome(lambda: 1 / 0, "an answer")
    began = time.monotonic()
    with waiting.heard(stop), pytest.raises(InterruptedError, match="Godot"):
        waiting.outcome(lambda: time.sleep(5), "Godot")
    assert time.monotonic() - began < 4
