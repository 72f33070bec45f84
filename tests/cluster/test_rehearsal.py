"""A rehearsal on a real SLURM that is set in many ways, and its verdicts on what was seen."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from repro.cli import run
from repro.cluster.rehearsal.verdict import Verdict
from tests.cluster.conftest import ROOT, Cluster
from tests.cluster.rehearsals import CASES, Case
from tests.cluster.test_hostile import options


@pytest.fixture(scope="module")
def played() -> Iterator[dict[str, Future[list[Verdict]]]]:
    """All cases, several at once, as they wait for SLURM most of the time; of the longest first, to a time limit."""

    def verdicts(case: Case) -> list[Verdict]:
        command = [sys.executable, "-m", "tests.cluster.rehearsals", str(CASES.index(case))]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200, check=False)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        return [Verdict(**each) for each in json.loads(done.stdout.splitlines()[-1])]

    with ThreadPoolExecutor(4) as pool:
        yield {
            case.title: pool.submit(verdicts, case)
            for case in sorted(CASES, key=lambda case: "limit" not in case.truth)
        }


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_a_rehearsal_tells_the_truth(case: Case, played: dict[str, Future[list[Verdict]]]) -> None:
    verdicts = played[case.title].result()
    assert {verdict.event: verdict.against for verdict in verdicts} == case.truth
    assert all(verdict.known for verdict in verdicts)
    assert case.words in str(verdicts[-1])


def doctor(*arguments: str) -> list[str]:
    small = ("--trainer.accelerator", "cpu", "--sbatch=--cpus-per-task=1", "--events", "requeue")
    return [sys.executable, "-m", "repro", "doctor", "--rehearse", *small, *arguments]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_no_job(cluster: Cluster, number: int) -> None:
    command = doctor("--account", "nobody")
    with subprocess.Popen(
        command, cwd=cluster.folder, env=cluster.environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = ""
        while "waits for" not in said:
            said += process.stdout.readline()
        process.send_signal(number)
        said += process.stdout.read()
    assert process.returncode == 128 + signal.SIGINT
    assert said.endswith("no job of the rehearsal is left\n")
    assert "This cluster keeps no accounts: --account and --qos mean nothing" in said
    assert "and 30 at most (--wait)" in said
    left = cluster.call("squeue", "--noheader", "--states=PENDING,RUNNING", "--format=%j").split()
    assert not [name for name in left if "rehearsal" in name]


@pytest.mark.slow
def test_a_partition_that_does_not_exist(cluster: Cluster) -> None:
    command = doctor("--partition", "nowhere")
    done = subprocess.run(
        command, cwd=cluster.folder, env=cluster.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "invalid partition specified: nowhere" in done.stderr
    assert "sinfo --summarize lists the partitions" in done.stderr


@pytest.mark.slow
def test_a_job_that_does_not_run_here_is_told_by_the_end_of_its_log(cluster: Cluster) -> None:
    (cluster.folder / "setup.sh").write_text("export REPRO_PYTHON=/nowhere/python\n")
    command = doctor("--setup", "setup.sh", "--wait", "8")
    done = subprocess.run(
        command, cwd=cluster.folder, env=cluster.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "the reference run has not finished (FAILED); the end of its log" in done.stderr
    assert "/nowhere/python: No such file or directory" in done.stderr
    assert "no job of the rehearsal is left" in done.stdout


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--events", "earthquake"], "--events has 'earthquake'; allowed: requeue, term, limit, preempt"),
        (["--events", "preempt"], "a preemption needs both"),
        (["--preempt-by=urgent"], "--preempt-by is 'urgent'; allowed: options of sbatch"),
        (["--time", "1"], "allowed in a rehearsal: 2 minutes to --wait (30)"),
        (["--step", "0"], "--step is 0; allowed"),
        (["--step", "1e308"], "--step is 1e+308; allowed"),
        (["--step", "nan"], "--step is 'nan'; allowed: a number"),
        (["--wait", "x"], "--wait is 'x'; allowed: a number"),
        (["--time", "٣"], "--time is '٣'; allowed"),
        (["--time", "9" * 400], "allowed: minutes"),
        (["--model.network", "resnet20"], "trains a small run of its own"),
        (["oyedotun-table2"], "trains a small run of its own"),
        (["--partition", "a\nb"], "cannot stand in a job script"),
        (["--preempt-by=--comment='a\nb'", "--dry-run"], "cannot stand in a job script"),
    ],
)
def test_mistakes(given: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--rehearse", "--runs", str(tmp_path / "runs"), *given]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_dry_run_shows_every_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "setup.sh").write_text("module load cuda")
    asked = ["--runs", str(tmp_path / "runs"), "--setup", str(tmp_path / "setup.sh"), "--time", "12"]
    assert run(["doctor", "--rehearse", "--dry-run", "--preempt-by=--partition=urgent", *asked]) == 0
    scripts = capsys.readouterr().out.split("#!/bin/bash\n")[1:]
    assert ["--study alone" in script for script in scripts] == [True, False, False, False, False, False]
    assert sum("\nmodule load cuda\nexport REPRO_PACE=1.0\n" in script for script in scripts) == 4
    assert [options(script)[-1] for script in scripts[-2:]] == ["--exclusive", "--partition=urgent"]
    assert sum("--signal=USR2@300" in script for script in scripts) == 5
    assert "--time=12" in scripts[3]
    assert not (tmp_path / "runs").exists()


def test_the_table_in_the_documents_is_what_was_recorded() -> None:
    recorded = json.loads((ROOT / "benchmarks" / "recorded" / "rehearsal.json").read_text(encoding="utf-8"))["verdicts"]
    assert all(row["agrees"] for row in recorded)
    assert [(row["cluster"], row["event"]) for row in recorded] == [
        (case.title, event) for case in CASES for event in case.truth
    ]
    document = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    table = document.split("<!-- table: benchmarks/rehearsal.py -->\n")[1].split("<!-- end -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert rows == [
        [
            row["cluster"],
            row["event"],
            row["truth"] or "none",
            row["verdict"] or "none",
            re.sub(r"after \d+ s", "after N s", row["said"].partition(";")[0]),
        ]
        for row in recorded
    ]
