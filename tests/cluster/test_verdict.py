"""What a rehearsal says of what it has seen: of every kind, without a cluster."""

from __future__ import annotations

from typing import Any

import pytest

from repro.cluster.rehearsal.settings import Settings
from repro.cluster.rehearsal.verdict import Event, Seen, judge

ON_ITS_WAY: dict[str, Any] = {"happened": True, "saved": True, "back": "requeued", "after": 130.4, "state": "COMPLETED"}
CLUSTER = {"KillWait": "30 sec", "JobRequeue": "1", "AuthInfo": "socket=x,cred_expire=8", "PreemptType": "preempt/qos"}


def settings(grace: int = 0, **more: str) -> Settings:
    return Settings({**CLUSTER, **more}, {"PreemptMode": "REQUEUE", "GraceTime": str(grace)})


@pytest.mark.parametrize(
    ("event", "seen", "of", "line"),
    [
        (
            "requeue",
            {**ON_ITS_WAY, "differs": []},
            {},
            "ok    scontrol requeue resumed bit for bit: saved when told, requeued after 130 s",
        ),
        (
            "preempt",
            {"happened": True, "back": "in place", "differs": []},
            {},
            "ok    preemption       held and continued in place, bit for bit",
        ),
        (
            "requeue",
            {**ON_ITS_WAY, "differs": ["metrics"], "devices": ["A100", "H100"]},
            {},
            "FAIL  scontrol requeue resumed, on other hardware: A100 and H100",
        ),
        (
            "term",
            {**ON_ITS_WAY, "differs": ["generators.0"]},
            {},
            "FAIL  SIGTERM          resumed, but not bit for bit: generators.0 differ",
        ),
        (
            "requeue",
            {**ON_ITS_WAY, "saved": False, "again": 4, "differs": []},
            {},
            "step of 7 s and a checkpoint: killed, and went back to its last checkpoint (4 steps twice)",
        ),
        (
            "preempt",
            {**ON_ITS_WAY, "saved": False, "differs": []},
            {"grace": 5},
            "GraceTime=5 is too short for a step of 7 s",
        ),
        ("preempt", {**ON_ITS_WAY, "saved": False, "differs": []}, {}, "KillWait=30 is too short for a step of 7 s"),
        (
            "preempt",
            {"happened": True, "saved": True, "state": "PREEMPTED"},
            {},
            "PreemptMode=CANCEL: saved, ended, not requeued; submit with --resubmit",
        ),
        (
            "preempt",
            {"happened": True, "state": "PREEMPTED"},
            {},
            "PreemptMode=CANCEL: killed before it saved (KillWait=30), ended",
        ),
        (
            "limit",
            {"happened": True, "state": "TIMEOUT"},
            {},
            "the signal before the limit did not arrive (a site's plugin takes it out?): ended as TIMEOUT",
        ),
        (
            "limit",
            {"happened": True, "saved": True, "state": "FAILED", "refused": "disabled"},
            {"JobRequeue": "0"},
            "saved, but not requeued: disabled; REQUEUE is off (JobRequeue=0, or a site's plugin)",
        ),
        ("requeue", {"refused": "disabled"}, {}, "FAIL  scontrol requeue not requeued: disabled"),
        (
            "requeue",
            {"happened": True, "state": "PENDING", "reason": "launch_failed_requeued_held"},
            {},
            "requeued into a hold (launch_failed_requeued_held: a prolog or a node fails at its start); scontrol",
        ),
        (
            "term",
            {"happened": True, "state": "SPECIAL_EXIT", "reason": "JobHeldUser"},
            {"RequeueExitHold": "143"},
            "RequeueExitHold=143",
        ),
        (
            "requeue",
            {"happened": True, "state": "PENDING", "reason": "JobHeldAdmin"},
            {},
            "somebody or a limit of requeues holds it",
        ),
        (
            "requeue",
            {"state": "PENDING", "reason": "Priority", "gave_up": "waited for room in the queue"},
            {},
            "open  scontrol requeue not seen: waited for room in the queue (PENDING, Priority)",
        ),
        (
            "limit",
            {"happened": True, "state": "COMPLETED", "reason": "None", "differs": []},
            {},
            "open  time limit       not seen: the job was over before it happened",
        ),
        (
            "term",
            {"happened": True, "saved": True, "state": "NODE_FAIL"},
            {},
            "ended as NODE_FAIL and did not come back; its log says more",
        ),
    ],
)
def test_a_line_says_what_stands_against_it_and_what_to_do(
    event: Event, seen: dict[str, Any], of: dict[str, Any], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SBATCH_SIGNAL", "SBATCH_NO_REQUEUE"):
        monkeypatch.delenv(name, raising=False)
    assert line in str(judge(event, Seen(**seen), settings(**of), 7.0))


def test_what_stands_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBATCH_SIGNAL", "B:USR1@9")
    silent = judge("limit", Seen(happened=True, state="TIMEOUT"), settings(), 1.0)
    assert (silent.against, "SBATCH_SIGNAL=B:USR1@9 in your environment" in silent.text) == ("signal", True)
    monkeypatch.setenv("SBATCH_NO_REQUEUE", "1")
    refused = judge("requeue", Seen(refused="disabled"), settings(), 1.0)
    assert (refused.against, "unset it" in refused.text) == ("Requeue", True)


def test_settings_are_read_as_slurm_prints_them() -> None:
    assert (settings().kill_wait, settings().hold, settings(grace=9).grace) == (30, 8, 9)
    assert Settings({}, {}).kill_wait == 30
    assert Settings({"AuthInfo": "(null)"}, {}).hold == 120
    assert settings(grace=9).preemption == "PreemptMode=REQUEUE, GraceTime=9"
    assert Settings({"PreemptType": "preempt/none"}, {"PreemptMode": "REQUEUE"}).preemption == ""
    assert Settings({**CLUSTER}, {"PreemptMode": "OFF"}).preemption == ""
    assert not Settings({"AccountingStorageType": "accounting_storage/none"}, {}).keeps_accounts
