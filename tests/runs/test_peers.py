"""Two real processes train; something befalls one. The other goes on, or ends in a line with the record right."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from repro.records import RunDirectory, find_runs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
ROOT = Path(__file__).parents[2]
Live = Callable[..., list[BaseProcess]]

FLAGS = [
    *("fit", "--model.network", "mlp", "--model.hidden", "[8]", "--data.train_size", "90", "--data.batch_size", "32"),
    *("--data.evaluation_batch_size", "1000", "--trainer.max_epochs", "100000", "--trainer.accelerator", "cpu"),
    *("--trainer.progress", "none", "--trainer.devices", "2", "--measure.measurements", "[]"),
    *("--log.wandb", "disabled", "--trainer.checkpoint_every_n_epochs", "20"),
    *("--trainer.evaluate_every_n_epochs", "50000"),
]
# What one rank alone does at its 100th step; all that is said goes into a file of each process.
LIFE = """
import os, sys, time
sys.path.insert(0, {root!r})
sys.stdout = sys.stderr = open(os.path.join({folder!r}, "said" + os.environ["LOCAL_RANK"]), "a", buffering=1)
os.dup2(sys.stderr.fileno(), 2)
from repro.distributed import peers
from repro.runs import stop
from tests.runs import stopping
from repro.training.classifier import Classifier
peers.SILENT_SECONDS, stop.PATIENCE_SECONDS = float(os.environ.get("SILENT", "60")), 5.0
step = Classifier.training_step
stopping.an_hour_later(lambda: os.path.exists(os.path.join({folder!r}, "late")))

def training_step(self, *given):
    if self.trainer.global_step == 100 and os.environ["LOCAL_RANK"] == os.environ.get("WHOM"):
        exec(os.environ["BEFALLS"])
    return step(self, *given)

Classifier.training_step = training_step
"""


@pytest.fixture
def begin(live: Live, tmp_path: Path) -> Live:
    before = LIFE.format(root=str(ROOT), folder=str(tmp_path))
    return lambda *more, **environment: live(
        *FLAGS, "--runs", str(tmp_path / "runs"), *more, ranks=2, before=before, OMP_NUM_THREADS="1", **environment
    )


def said(folder: Path, rank: int) -> str:
    path = folder / f"said{rank}"
    return path.read_text() if path.exists() else ""


def wait_for(what: Callable[[], object], seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends
        time.sleep(0.05)


def the_run(folder: Path) -> RunDirectory:
    (run,) = find_runs([folder / "runs"])
    return run


def ended(process: BaseProcess, seconds: float = 60) -> int | None:
    process.join(seconds)
    return process.exitcode


def trained(folder: Path) -> None:
    wait_for(lambda: list((folder / "runs").rglob("step-*.ckpt")))


@pytest.mark.parametrize("rank", [0, 1])
def test_one_that_is_killed_ends_the_other_in_a_line(rank: int, begin: Live, tmp_path: Path) -> None:
    processes = begin()
    trained(tmp_path)
    processes[rank].kill()
    assert ended(processes[1 - rank], 20) == 1
    told = said(tmp_path, 1 - rank)
    assert f"repro: rank {rank} (process {processes[rank].pid} on " in told
    assert "has gone: it was killed, or its node is down; the run cannot go on without it" in told
    assert "Traceback" not in told
    assert the_run(tmp_path).status == ("failed" if rank else "killed")


def test_one_that_fails_tells_the_other_why(begin: Live, tmp_path: Path) -> None:
    """Such as a full disk of one machine."""
    processes = begin(WHOM="1", BEFALLS="raise OSError(28, os.strerror(28), '/tmp/full')")
    assert [ended(process) for process in processes] == [1, 1]
    assert "has ended: [Errno 28] No space left on device: '/tmp/full'; the run cannot go on without it" in said(
        tmp_path, 0
    )
    assert "No space left on device" in said(tmp_path, 1)
    assert "Traceback" not in said(tmp_path, 0) + said(tmp_path, 1)
    run = the_run(tmp_path)
    assert run.status == "failed"
    assert "No space left on device" in run.state["reason"]


def test_a_full_disk_of_rank_0_ends_both_with_the_earlier_checkpoint(begin: Live, tmp_path: Path) -> None:
    """No file may become as large as a checkpoint."""
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    processes = begin(WHOM="0", BEFALLS=full)
    assert [ended(process) for process in processes] == [1, 1]
    assert "make room, and the same command continues" in said(tmp_path, 0)
    assert "rank 0 could not write" in said(tmp_path, 1)
    assert "Traceback" not in said(tmp_path, 0) + said(tmp_path, 1)
    run = the_run(tmp_path)
    assert run.status == "failed"
    assert run.saved_checkpoints()


def test_one_that_is_stopped_for_a_while_is_named_and_both_go_on(begin: Live, tmp_path: Path) -> None:
    processes = begin()
    trained(tmp_path)
    stopped = processes[1].pid
    assert stopped is not None
    os.kill(stopped, signal.SIGSTOP)
    wait_for(lambda: f"repro: waiting for rank 1 (process {stopped} on " in said(tmp_path, 0), 30)
    os.kill(stopped, signal.SIGCONT)
    before = the_run(tmp_path).state.get("step", 0)
    wait_for(lambda: the_run(tmp_path).state.get("step", 0) > before)
    assert all(process.is_alive() for process in processes)


def test_one_that_stays_stopped_is_given_up(begin: Live, tmp_path: Path) -> None:
    processes = begin(SILENT="8")
    trained(tmp_path)
    assert processes[1].pid is not None
    os.kill(processes[1].pid, signal.SIGSTOP)
    assert ended(processes[0], 40) == 1
    assert "has given no sign for 8 seconds; the run cannot go on without it" in said(tmp_path, 0)
    assert the_run(tmp_path).status == "failed"


@pytest.mark.parametrize("by", ["signal", "budget"])
def test_a_wait_inside_of_torch_hears_a_request_to_stop(by: str, begin: Live, tmp_path: Path) -> None:
    processes = begin(*(["--budget", "30"] if by == "budget" else []))
    trained(tmp_path)
    for process in processes:
        assert process.pid is not None
    os.kill(processes[1].pid or 0, signal.SIGSTOP)
    wait_for(lambda: "waiting for rank 1" in said(tmp_path, 0), 30)
    if by == "signal":
        os.kill(processes[0].pid or 0, signal.SIGTERM)
    else:
        (tmp_path / "late").touch()
    assert ended(processes[0], 70) == (143 if by == "signal" else 0)
    assert "stopped while waiting for rank 1 (process " in said(tmp_path, 0)
    assert the_run(tmp_path).status == "interrupted"
    os.kill(processes[1].pid or 0, signal.SIGCONT)
    assert ended(processes[1]) == 1
    assert "has ended: stopped while waiting for rank 1" in said(tmp_path, 1)
    assert "Traceback" not in said(tmp_path, 1)


def test_processes_that_were_told_different_things_leave_no_run(live: Live, tmp_path: Path) -> None:
    """As two commands do that meet by mistake."""
    port = "23451"
    before = LIFE.format(root=str(ROOT), folder=str(tmp_path))
    processes = [
        live(
            *(*FLAGS, "--runs", str(tmp_path / "runs"), "--seed", str(rank)),
            before=before,
            **{"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"},
        )[0]
        for rank in range(2)
    ]
    assert [ended(process) for process in processes] == [2, 2]
    assert "do not train together: seed is 0 on rank 0 and 1 on rank 1" in said(tmp_path, 0)
    assert find_runs([tmp_path / "runs"]) == []
