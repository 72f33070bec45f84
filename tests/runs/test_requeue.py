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
    tool = tmp_path / "scontrol"
    tool.write_text(
        f"#!/bin/sh\necho $* >> {tmp_path}/calls\n"
        f"[ ! -e {tmp_path}/broken ] || {{ echo 'Job is no batch job' >&2; exit 1; }}\n"
        f"[ $1 != show ] || cat {tmp_path}/state\n"
    )
    tool.chmod(0o755)
    (tmp_path / "calls").write_text("")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    return tmp_path


def test_the_time_limit_requeues(scontrol: Path) -> None:
    assert requeue(signal.SIGUSR1) == "SLURM job 12 is requeued"
    assert (scontrol / "calls").read_text() == "requeue 12\n"


@pytest.mark.parametrize(
    ("state", "requeued"),
    [
        ("JobState=RUNNING Reason=None PreemptTime=None", False),  # scancel -s TERM: somebody wants it to stop
        ("JobState=RUNNING Reason=None PreemptTime=2026-01-01T00:00:00", True),  # it would end before its grace time
        ("JobState=CANCELLED Reason=None PreemptTime=None", False),
        ("JobState=COMPLETING Reason=None PreemptTime=2026-01-01T00:00:00", False),  # SLURM requeues it
    ],
)
def test_a_termination_requeues_only_a_preempted_job_that_has_time_left(
    scontrol: Path, state: str, requeued: bool
) -> None:
    (scontrol / "state").write_text(state)
    assert requeue(signal.SIGTERM) == ("SLURM job 12 is requeued" if requeued else None)
    assert ("requeue 12" in (scontrol / "calls").read_text()) == requeued


def test_ctrl_c_never_does(scontrol: Path) -> None:
    assert requeue(signal.SIGINT) is None
    assert (scontrol / "calls").read_text() == ""


def test_what_cannot_be_requeued_is_told(scontrol: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (scontrol / "broken").write_text("")
    assert requeue(signal.SIGUSR1) == "SLURM job 12 could not be requeued (Job is no batch job); submit it again"
    monkeypatch.setenv("PATH", str(scontrol / "nowhere"))
    assert "submit it again" in (requeue(signal.SIGUSR1) or "")


def test_outside_of_slurm_there_is_nothing_to_requeue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert requeue(signal.SIGUSR1) is None


def test_a_task_of_an_array_goes_by_array_and_task() -> None:
    """Task 3 of array 12 may itself have the number 12: by that, the whole array would be requeued."""
    array = {"SLURM_JOB_ID": "12", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"}
    assert job(array) == "12_3"


@pytest.mark.parametrize("name", ["RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK"])
def test_the_first_of_all_processes_speaks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_first_rank()
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert is_first_rank()
    monkeypatch.setenv(name, "1")
    assert not is_first_rank()
