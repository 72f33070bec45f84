"""Workers that are refused, too many for their shared memory, silent, or killed: told in a line, never a hang."""

from __future__ import annotations

import errno
import os
import re
import signal
import tempfile
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from repro import waiting
from repro.data.loading import worker_watch, workers
from repro.data.loading.decoding import DecodedBatches
from repro.data.loading.worker_watch import how_they_ended, listen
from repro.data.loading.workers import usable_workers
from repro.errors import UserError


@pytest.mark.parametrize("error", [RuntimeError("exited unexpectedly"), EOFError(), ConnectionResetError()])
def test_a_worker_that_dies_while_it_hands_over_is_told(error: Exception) -> None:
    class Dying:
        _workers = (SimpleNamespace(exitcode=-9, kill=lambda: None),)

        def __iter__(self) -> Dying:
            return self

        def __next__(self) -> None:
            raise error

    batches = DecodedBatches.__new__(DecodedBatches)
    batches._loader = Dying()
    with pytest.raises(UserError, match=r"has ended by SIGKILL, as happens when memory runs out"):
        list(batches._decoded())


@pytest.fixture(autouse=True)
def _anew(monkeypatch: pytest.MonkeyPatch) -> None:
    workers._note.cache_clear()
    monkeypatch.setattr(workers, "worker_context", lambda: True)


@pytest.mark.parametrize(
    ("free", "usable"), [(10**9, 4), (900, 4), (899, 3), (700, 3), (300, 1), (299, 0), (0, 0), (None, 0)]
)
def test_as_many_workers_as_shared_memory_takes(
    free: int | None, usable: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two batches for each worker wait, and one is read."""
    monkeypatch.setattr(workers, "shared_memory", lambda: free)
    assert usable_workers(4, 100) == usable
    assert ("4 workers would have batches of" in capsys.readouterr().err) == (usable < 4)
    monkeypatch.setattr(workers, "shared_memory", lambda: free and 2 * free)
    assert usable_workers(4, 100, local_ranks=2) == usable
    assert usable_workers(0, 100) == 0


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.EMFILE, errno.ENOMEM])
def test_without_a_server_this_process_decodes(
    code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(workers, "worker_context", refuse)
    assert usable_workers(2, 1) == 0
    assert f"no processes can be begun to decode images ({os.strerror(code)})" in capsys.readouterr().err


def test_sockets_have_short_names_wherever_temporary_files_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("t" * 100)
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr(workers, "current_process", lambda: SimpleNamespace(_config=kept))
    kept: dict[str, Any] = {}
    with workers._short_names():
        assert os.environ["TMPDIR"] == "/tmp"
    assert os.environ["TMPDIR"] == str(long)
    assert len(kept["tempdir"]) < 40


def test_the_wait_for_a_worker_is_heard_and_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waiting, "SAY_SECONDS", -1.0)
    answers = iter([(True, 1), (False, None), (False, None), (True, 2)])

    class Loading:
        def _try_get_data(self, timeout: float = 5.0) -> tuple[bool, int | None]:
            return next(answers)

    iterator: Any = Loading()
    listen(iterator)
    polled = iterator._try_get_data
    listen(iterator)  # workers that stay begin another pass
    assert iterator._try_get_data is polled
    heard: list[str] = []
    with waiting.heard(heard.append):
        assert [iterator._try_get_data() for _ in range(4)] == [(True, 1), (False, None), (False, None), (True, 2)]
    assert heard == ["the processes that decode images"] * 2
    assert capsys.readouterr().err == "repro: waiting for the processes that decode images\n"
    listen(SimpleNamespace())  # decodes here
    gone = weakref.ref(iterator)
    del iterator, polled
    assert gone() is None, "one that held itself would keep its workers"


@pytest.mark.parametrize(
    ("code", "words"),
    [(-signal.SIGKILL, "SIGKILL.*memory"), (-signal.SIGBUS, "SIGBUS.*/dev/shm"), (1, "status 1.*image")],
)
def test_how_a_worker_ended_is_told_with_its_likely_cause(
    code: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_watch, "_REAPING_SECONDS", 0.0)
    ended = SimpleNamespace(exitcode=code)
    alive = SimpleNamespace(exitcode=None)
    assert how_they_ended(SimpleNamespace(_workers=[alive])) is None
    told = how_they_ended(SimpleNamespace(_workers=[alive, ended]))
    assert told is not None
    assert re.search(words, told)
