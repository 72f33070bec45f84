"""Clusters that are set in many ways, and the truth about each: by construction, not by the rehearsal's own word."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from unittest import mock

from repro.cluster.rehearsal.plan import Plan
from repro.cluster.rehearsal.stage import rehearse
from repro.cluster.rehearsal.verdict import Event, Verdict
from repro.cluster.sbatch import Resources
from repro.config import from_mapping
from tests.cluster.conftest import Cluster, started

# At its second start on a job, it fails: SLURM drains the node and holds the job.
PROLOG = """#!/bin/bash
[ ! -e "$0.$SLURM_JOB_ID" ] || exit 1
touch "$0.$SLURM_JOB_ID"
"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A cluster, what happens on it, and the truth."""

    title: str
    truth: dict[Event, str]
    """By event: the setting that stands against it; empty where a run goes on bit for bit."""
    words: str
    """What the last verdict has to say."""
    main: str = "PreemptMode=REQUEUE GraceTime=0"
    settings: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    resubmit: bool = False
    step: float = 1.0
    prolog: str = ""


CASES = [
    Case(
        title="PreemptMode=REQUEUE",
        truth={"requeue": "", "term": "", "limit": "", "preempt": ""},
        words="resumed bit for bit: saved when told, requeued after",
    ),
    Case(
        title="PreemptMode=REQUEUE, GraceTime=30",
        main="PreemptMode=REQUEUE GraceTime=30",
        truth={"preempt": ""},
        words="resumed bit for bit: saved when told, requeued after",
    ),
    Case(
        title="PreemptMode=REQUEUE, GraceTime=1, KillWait=1, steps of 45 s",  # SLURM looks every half minute
        main="PreemptMode=REQUEUE GraceTime=1",
        settings=("KillWait=1",),
        step=45.0,
        truth={"preempt": "GraceTime"},
        words="GraceTime=1 is too short for a step of 45 s",
    ),
    Case(
        title="PreemptMode=CANCEL",
        main="PreemptMode=CANCEL GraceTime=0",
        truth={"preempt": "PreemptMode=CANCEL"},
        words="PreemptMode=CANCEL: saved, ended, not requeued; submit with --resubmit",
    ),
    Case(
        title="PreemptMode=CANCEL, --resubmit",
        main="PreemptMode=CANCEL GraceTime=0",
        resubmit=True,
        truth={"preempt": ""},
        words="resumed bit for bit: saved when told, submitted itself after",
    ),
    Case(
        title="PreemptMode=CANCEL, GraceTime=30",
        main="PreemptMode=CANCEL GraceTime=30",
        truth={"preempt": ""},
        words="resumed bit for bit: saved when told, requeued after",
    ),
    Case(
        title="PreemptMode=SUSPEND",
        main="PreemptMode=SUSPEND",
        settings=("PreemptMode=SUSPEND,GANG",),
        truth={"preempt": ""},
        words="held and continued in place, bit for bit",
    ),
    Case(
        title="JobRequeue=0 (the scripts ask for --requeue)",
        settings=("JobRequeue=0",),
        truth={"requeue": "", "preempt": ""},
        words="resumed bit for bit",
    ),
    Case(
        title="SBATCH_NO_REQUEUE in the environment",
        environment={"SBATCH_NO_REQUEUE": "1"},
        truth={"requeue": "Requeue", "limit": "Requeue"},
        words="SBATCH_NO_REQUEUE in your environment switches it off",
    ),
    Case(
        title="KillWait=1, steps of 6 s",
        settings=("KillWait=1",),
        step=6.0,
        truth={"requeue": "KillWait"},
        words="KillWait=1 is too short for a step of 6 s and a checkpoint: killed, and went back",
    ),
    Case(
        title="SBATCH_SIGNAL in the environment (SIGURG, which a run ignores)",
        environment={"SBATCH_SIGNAL": "URG@60"},
        truth={"limit": "signal"},
        words="SBATCH_SIGNAL=URG@60 in your environment replaces the script's",
    ),
    Case(
        title="a prolog that fails at the second start",
        prolog=PROLOG,
        truth={"requeue": "hold"},
        words="requeued into a hold",
    ),
]


@contextmanager
def _cluster(case: Case) -> Iterator[Cluster]:
    settings = list(case.settings)
    with _written(case.prolog) as prolog:
        settings += [f"Prolog={prolog}"] if prolog else []
        with started(SLURM_MAIN=case.main, SLURM_SETTINGS=" ".join(settings)) as cluster:
            yield cluster


@contextmanager
def _written(prolog: str) -> Iterator[Path | None]:
    """A place that the daemons can enter, with the prolog in it."""
    if not prolog:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="repro-prolog-") as name:
        path = Path(name) / "prolog"
        path.write_text(prolog)
        path.chmod(0o755)
        yield path


def play(case: Case) -> list[Verdict]:
    """Start the cluster and rehearse on it."""
    with _cluster(case) as cluster:
        plan = Plan(
            events=tuple(case.truth),
            resources=Resources(time="4", resubmit=case.resubmit, extra=["--cpus-per-task=1"]),
            config=from_mapping({"trainer": {"accelerator": "cpu"}}),
            folder=cluster.folder / "rehearsal",
            step=case.step,
            wait=9.0,
            urgent=["--partition=high"] if "preempt" in case.truth else [],
            poll=1.0,
        )
        wanted = ("PATH", "SLURM_CONF", "PYTHONPATH", "OMP_NUM_THREADS")
        known = {name: cluster.environment[name] for name in wanted} | case.environment
        with mock.patch.dict(os.environ, known):
            try:
                return rehearse(plan)
            finally:
                for path in sorted((cluster.folder / "rehearsal").glob("*.out")):
                    print(f"--- {path.name}\n{path.read_text()}")


if __name__ == "__main__":  # one case in a process of its own, its verdicts on the last line
    print(json.dumps([asdict(verdict) for verdict in play(CASES[int(sys.argv[1])])]))
