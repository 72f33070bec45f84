from __future__ import annotations

import errno
import json
import multiprocessing
import os
import socket
import subprocess
import threading
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from repro import waiting
from repro.errors import UserError
from repro.machine import this_process
from repro.records import lock as module
from repro.records.lock import Lock, holder


def write(path: Path, **changes: object) -> None:
    owner = {"host": socket.gethostname(), "pid": os.getpid(), "job": None, "restart": 0, "token": "theirs"}
    path.write_text(json.dumps({**owner, **changes}))


def _finished() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_a_second_start_refuses_while_the_first_lives(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with Lock(path):
        assert (holder(path) or {})["pid"] == os.getpid()
        with pytest.raises(UserError, match=f"in use by process {os.getpid()} on {socket.gethostname()}"), Lock(path):
            pass
    assert holder(path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_dead_process_on_this_host_loses_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    write(path, pid=_finished())
    assert holder(path) is None
    with Lock(path):
        assert (holder(path) or {})["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_another_host_keeps_it_until_its_heartbeat_stops(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    write(path, host="elsewhere", pid=1)
    with pytest.raises(UserError, match="elsewhere"), Lock(path):
        pass
    old = time.time() - module.DEAD_AFTER_SECONDS - 5
    os.utime(path, (old, old))
    with Lock(path):
        pass


def test_the_same_job_restarted_takes_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock"
    write(path, host="elsewhere", job="7", restart=0)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with pytest.raises(UserError, match="SLURM job 7"), Lock(path):
        pass
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    with Lock(path):
        pass


def test_the_heartbeat_renews_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.02)
    path = tmp_path / "lock"
    with Lock(path):
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert path.stat().st_mtime > 0


def test_who_was_taken_for_dead_learns_that_the_lock_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.02)
    path, told = tmp_path / "lock", threading.Event()
    with Lock(path, told.set):
        time.sleep(0.1)
        assert not told.is_set()
        path.unlink()
        write(path, host="elsewhere")
        assert told.wait(10)
    assert json.loads(path.read_text())["token"] == "theirs"


def _contend(path: str, log: str, all_begin: Barrier, all_know: Barrier) -> None:
    all_begin.wait(300)
    try:
        with Lock(Path(path)), open(log, "a") as file:  # noqa: PTH123
            file.write(f"{os.getpid()}\n")
            file.flush()
            all_know.wait(300)  # held until the others were refused
    except UserError:
        all_know.wait(300)


@pytest.mark.parametrize("turn", range(12))  # without `_alone` two won in one of eight turns
def test_of_many_that_find_a_dead_owner_one_wins(tmp_path: Path, turn: int) -> None:
    path, log = tmp_path / "lock", tmp_path / "log"
    write(path, pid=_finished())
    context = multiprocessing.get_context("fork")
    together = context.Barrier(8), context.Barrier(8)
    processes = [context.Process(target=_contend, args=(str(path), str(log), *together)) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 8
    assert len(log.read_text().splitlines()) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["log"]


def mine(**changes: object) -> dict[str, object]:
    return {**this_process(), "job": None, "restart": 0, "token": "theirs", **changes}


def test_another_process_that_has_the_number_of_a_dead_one_does_not_hold_its_lock(tmp_path: Path) -> None:
    """As process 1 of a container that is started again: it would wait for itself."""
    path = tmp_path / "lock"
    path.write_text(json.dumps(mine(started=(this_process()["started"] or 0) - 1)))
    with Lock(path):
        pass


@pytest.mark.parametrize("elsewhere", [{"namespace": "pid:[1]"}, {"boot": "another"}])
def test_a_number_of_another_container_or_machine_says_nothing(elsewhere: dict[str, str], tmp_path: Path) -> None:
    """It may have this one's host name: alive until it has given no sign for long."""
    path = tmp_path / "lock"
    path.write_text(json.dumps(mine(pid=_finished(), **elsewhere)))
    with pytest.raises(UserError, match="in use"), Lock(path):
        pass
    os.utime(path, (0, 0))
    with Lock(path):
        pass


def test_a_process_that_has_ended_and_was_not_waited_for_holds_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    (tmp_path / "lock").write_text(json.dumps(mine(pid=process.pid, started=None)))
    with Lock(tmp_path / "lock"):
        pass
    process.wait()


def test_a_lock_of_tomorrow_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """The clock was set back: its date says nothing, whether it is renewed does."""
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(waiting, "SAY_SECONDS", 0.05)
    path, tomorrow = tmp_path / "lock", time.time() + 86_400
    write(path, host="elsewhere")
    os.utime(path, (tomorrow, tomorrow))
    assert holder(path) is not None  # whoever only looks does not wait
    with Lock(path):
        pass
    assert "waiting for a sign of life" in capsys.readouterr().err
    write(path, host="elsewhere")
    os.utime(path, (tomorrow, tomorrow))
    alive = threading.Timer(0.1, os.utime, [path, (tomorrow + 1, tomorrow + 1)])
    alive.start()
    with pytest.raises(UserError, match="in use"), Lock(path):
        pass


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS])
def test_file_systems_without_hard_links(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    with Lock(tmp_path / "lock"), pytest.raises(UserError, match="in use"), Lock(tmp_path / "lock"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["abc", "[1]", '{"pid": "x"}', '{"pid": 1e99, "host": "h"}', "[" * 9999])
def test_a_lock_of_another_form_is_nobodys_once_it_is_old(content: str, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text(content)
    with pytest.raises(UserError, match="in use"), Lock(path):
        pass
    os.utime(path, (0, 0))
    with Lock(path):
        pass


def test_a_link_that_leads_nowhere_does_not_hang_a_start(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to("nowhere")
    with pytest.raises(UserError, match="in use"), Lock(tmp_path / "lock"):
        pass
    os.utime(tmp_path / "lock", (0, 0), follow_symlinks=False)
    with Lock(tmp_path / "lock"):
        pass
