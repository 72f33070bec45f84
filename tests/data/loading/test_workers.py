"""The processes that decode: begun by a server, deaf to signals, gone with the process that trains."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from repro.data.loading.workers import SIGNALS, worker_context

TRAINING = """
import sys
from repro.data import create_data

if __name__ == "__main__":
    data = create_data("imagefolder", root=sys.argv[1], batch_size=2, image_size=16, workers=2)
    data.setup()
    batches = data.batches("train", training=True)
    images, _ = next(iter(batches))
    print(batches._loader.multiprocessing_context.get_start_method())
    print(*(worker.pid for worker in batches._pass._workers), flush=True)
    sys.stdin.readline()
    print(len(list(batches)), flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def training(tmp_path: Path) -> subprocess.Popen[str]:
    """A process that has read a batch, in a group of its own; it reads the rest when it is written a line."""
    for part in ("train", "val"):
        for label in ("a", "b"):
            (tmp_path / part / label).mkdir(parents=True)
            for number in range(3):
                Image.fromarray(np.full((20, 20, 3), 40 * number, np.uint8)).save(
                    tmp_path / part / label / f"{number}.png"
                )
    program = tmp_path / "program.py"
    program.write_text(TRAINING)
    return subprocess.Popen(
        [sys.executable, str(program), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def begun(training: subprocess.Popen[str]) -> list[int]:
    assert training.stdout is not None
    assert training.stdout.readline().strip() == "forkserver"
    return [int(pid) for pid in training.stdout.readline().split()]


def alive(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def gone(pids: list[int]) -> bool:
    for _ in range(100):
        if not any(map(alive, pids)):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into Linux's /proc")
def test_they_end_with_the_process_that_trains(training: subprocess.Popen[str]) -> None:
    pids = begun(training)
    server = parent(pids[0])
    assert server != training.pid
    training.kill()
    training.communicate()
    assert gone([*pids, server])


@pytest.mark.slow
def test_a_signal_to_the_whole_group_is_the_training_processs_to_answer(training: subprocess.Popen[str]) -> None:
    pids = begun(training)
    for pid in [*pids, parent(pids[0])]:
        for number in SIGNALS:
            os.kill(pid, number)
    time.sleep(0.5)
    out, _ = training.communicate("\n\n", timeout=300)
    assert out.split() == ["3"]
    assert training.returncode == 0
    assert gone(pids)


def sends_itself_signals(name: str) -> None:
    for number in SIGNALS:
        os.kill(os.getpid(), number)
    Path(name).write_text("still here")


@pytest.mark.slow
def test_a_worker_is_deaf_from_its_first_instruction(tmp_path: Path) -> None:
    """Not only after its own set-up: a signal may come while it is being begun."""
    process = worker_context().Process(target=sends_itself_signals, args=(str(tmp_path / "note"),))
    process.start()
    process.join(30)
    assert process.exitcode == 0
    assert (tmp_path / "note").read_text() == "still here"


@pytest.mark.slow
def test_other_processes_of_the_server_get_signals() -> None:
    worker_context()
    process = multiprocessing.get_context("forkserver").Process(target=time.sleep, args=(60,))
    process.start()
    process.terminate()
    process.join(30)
    assert process.exitcode == -signal.SIGTERM
