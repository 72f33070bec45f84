"""The one place where the program waits: it hears a request to stop, and says after some seconds what it waits for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread
from typing import TypeVar

from repro.text import say

T = TypeVar("T")
SAY_SECONDS = 5.0
_LOOK_SECONDS = 0.05

_listeners: list[Callable[[str], None]] = []


@contextmanager
def heard(listener: Callable[[str], None]) -> Iterator[None]:
    """Whoever waits meanwhile calls `listener` with what it waits for, time and again; it raises to end the wait."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


class Wait:
    """A wait that others poll; what is waited for is said after some seconds (`SAY_SECONDS`)."""

    def __init__(self, what: str, *, said_after: float | None = None) -> None:
        self.what = what
        self._said_after = said_after
        self._began = time.monotonic()
        self._said = False

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def look(self) -> None:
        """Hear who wants to stop (a listener raises), and say what is waited for once it takes long."""
        for listener in _listeners:
            listener(self.what)
        self.say()

    def say(self) -> None:
        """Say, once, what is waited for if it takes long."""
        if not self._said and self.seconds > (SAY_SECONDS if self._said_after is None else self._said_after):
            self._said = True
            say(f"waiting for {self.what}")


def until(condition: Callable[[], bool], what: str, *, seconds: float = float("inf")) -> bool:
    """Wait until something holds, or for so many seconds; returns whether it holds."""
    wait = Wait(what)
    while not condition():
        if wait.seconds > seconds:
            return False
        wait.look()
        time.sleep(_LOOK_SECONDS)
    return True


def outcome(action: Callable[[], T], what: str) -> T:
    """What a call returns that blocks: it runs in a thread, so that the wait for it ends when a listener raises.

    The thread is then left to itself, and does not keep the process alive.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(action())
        except BaseException as error:
            future.set_exception(error)

    thread, wait = Thread(target=run, daemon=True), Wait(what)
    thread.start()
    while thread.is_alive():
        wait.look()
        thread.join(_LOOK_SECONDS)
    return future.result()
