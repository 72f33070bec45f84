"""Which signal puts a job back into the queue: with a stand-in for scontrol."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from repro.distributed.processes import is_first_rank
from repro.runs.requeue import job, requeue


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keeps what it is called with; shows a job as the file `state` has it; fails if there is a file `broken`."""
    for name in ("scontrol", "sbatch"):
        tool = tmp_path / name
        tool.write_text(
            f"#!/bin/sh\necho {name} $* $SLURM_RESTART_COUNT >> {tmp_path}/calls\n"
            f"[ ! -e {tmp_path}/broken ] || {{ echo 'Job is no batch job' >&2; exit 1; }}\n"
            f"[ $1 != show ] || cat {tmp_path}/state\n"
            f"[ {name} != sbatch ] || {{ cat > {tmp_path}/script; echo '13;toy'; }}\n"
        )
        tool.chmod(0o755)
    (tmp_path / "calls").write_text("")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    return tmp_path


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_the_time_limit_requeues(number: int, scontrol: Path) -> None:
    assert requeue(number) == ("SLURM job 12 is requeued", False)
    assert (scontrol / "calls").read_text() == "scontrol requeue 12\n"


PREEMPTED = "PreemptTime=2026-01-01T00:00:00"


@pytest.mark.parametrize(
    ("state", "asked", "called"),
    [
        ("JobState=RUNNING Restarts=0 PreemptTime=None", True, None),  # scancel -s TERM: somebody wants it to stop
        (f"JobState=RUNNING Restarts=0 {PREEMPTED}", False, "scontrol requeue 12"),  # it has a time of grace
        (f"JobState=SIGNALING Restarts=0 {PREEMPTED}", True, "scontrol requeue 12"),
        ("JobState=CANCELLED Restarts=0 PreemptTime=None", True, None),
        ("JobState=COMPLETING Restarts=0 PreemptTime=None", True, None),  # scancel
        (f"JobState=COMPLETING Restarts=3 {PREEMPTED}", True, None),  # SLURM requeues it
        (f"JobState=COMPLETING Restarts=2 {PREEMPTED}", False, None),  # SLURM cancels it, and that was not asked for
        (
            f"JobState=COMPLETING Restarts=2 {PREEMPTED}",
            True,
            "sbatch --parsable --dependency=afterany:12_4 --array=4",
        ),
    ],
)
def test_a_termination_brings_back_what_makes_room_and_would_not_come_back(
    scontrol: Path, state: str, asked: bool, called: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scontrol / "state").write_text(state)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    if asked:
        monkeypatch.setenv("REPRO_RESUBMIT", "the script")
        monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "4")
    name = "12_4" if asked else "12"
    told = {
        None: None,
        "scontrol requeue 12": (f"SLURM job {name} is requeued", False),
        "sbatch --parsable --dependency=afterany:12_4 --array=4": (
            "SLURM job 12_4 is cancelled; job 13 goes on",
            False,
        ),
    }
    assert requeue(signal.SIGTERM) == told[called]
    if called and called.startswith("sbatch"):
        assert (scontrol / "script").read_text() == "the script"
    calls = (scontrol / "calls").read_text().splitlines()  # without the restarts of this job
    assert calls == [f"scontrol show job -o {name}", *([called.replace("queue 12", f"queue {name}")] if called else [])]


def test_ctrl_c_never_does(scontrol: Path) -> None:
    assert requeue(signal.SIGINT) is None
    assert (scontrol / "calls").read_text() == ""


def test_what_cannot_be_requeued_is_told(scontrol: Path) -> None:
    (scontrol / "broken").write_text("")
    told = "SLURM job 12 could not be requeued (Job is no batch job); submit it again"
    assert requeue(signal.SIGUSR1) == (told, False)


def test_in_a_container_the_script_is_left_to_do_it(scontrol: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(scontrol / "nowhere"))
    answer = requeue(signal.SIGUSR2)
    assert answer is not None
    assert answer.left_to_script
    assert requeue(signal.SIGTERM) is None
    from repro.commands.stopped import tell
    from repro.runs.stop import Interrupted

    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert tell(Interrupted("stopped", signal=signal.SIGUSR2)) == 75
    finally:
        signal.signal(signal.SIGTERM, before)


def test_outside_of_slurm_there_is_nothing_to_requeue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert requeue(signal.SIGUSR1) is None


def test_a_task_of_an_array_goes_by_array_and_task() -> None:
    """Task 3 of array 12 may itself have the number 12: by that, the whole array would be requeued."""
    array = {"SLURM_JOB_ID": "12", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"}
    assert job(array) == "12_3"
    assert job({"SLURM_JOB_ID": "12", "SLURM_ARRAY_JOB_ID": "11"}) == "12"


@pytest.mark.parametrize(
    "state", [b"", b"\xff\xfe", b"PreemptTime=2026", b"PreemptTime=2026 JobState=COMPLETING Restarts=many"]
)
def test_an_answer_that_is_none_ends_nothing_in_an_error(state: bytes, scontrol: Path) -> None:
    (scontrol / "state").write_bytes(state)
    assert requeue(signal.SIGTERM) is None


@pytest.mark.parametrize("name", ["RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK"])
def test_the_first_of_all_processes_speaks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_first_rank()
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert is_first_rank()
    monkeypatch.setenv(name, "1")
    assert not is_first_rank()
