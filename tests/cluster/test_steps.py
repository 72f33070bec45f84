"""What SLURM's commands really start: each layout is taken, or refused with advice that works when it is followed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from repro.config import load
from repro.records import find_runs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
LAYOUT = """
import sys
from repro.config import from_mapping
from repro.distributed.processes import check_layout, is_first_rank, require_others
from repro.distributed.slurm import step
from repro.errors import UserError

devices = sys.argv[2] if sys.argv[2] == "auto" else int(sys.argv[2])
config = from_mapping({"trainer": {"num_nodes": int(sys.argv[1]), "devices": devices}})
try:
    require_others(config)
    told = check_layout(config)
except UserError as error:
    told = f"refused: {error}"
if is_first_rank():
    print(told, step() and step().first_node)
"""


@pytest.fixture(scope="module")
def told(cluster: Any) -> Any:
    """What a process says that is started by some words of a shell."""
    (cluster.folder / "layout.py").write_text(LAYOUT)

    def tell(start: str, nodes: int = 1, devices: str = "auto") -> str:
        command = f"{start} {sys.executable} layout.py {nodes} {devices}"
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=cluster.folder,
            env=cluster.environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        return done.stdout + done.stderr

    return tell


@pytest.mark.parametrize(
    ("start", "nodes", "layout"),
    [
        ("srun -N2 -n3", 2, "3 processes = 2 nodes x 2, 1 tasks, one device each 127.0.0.1"),
        ("srun -n2", 1, "2 processes = 1 nodes x 2 tasks, one device each 127.0.0.1"),
        ("srun -n1 --ntasks-per-node=4", 1, "1 processes = 1 nodes x 1 tasks, one device each"),
        ("salloc -J dev -N2 -n4 srun -N1 -n1", 1, "1 processes = 1 nodes x 1 tasks, one device each"),
        ("salloc -J dev -n2", 1, "this SLURM job has 2 tasks, but srun did not start this process"),
        ("salloc -J dev -n2", 1, "1 x auto devices, no SLURM step None"),
        ("srun -n1 salloc -n2", 1, "1 x auto devices, no SLURM step None"),
        ("salloc -N2 -n2", 2, "refused: trainer.num_nodes is 2, and nothing here starts the other nodes' processes"),
    ],
)
def test_what_is_started_is_what_is_seen(start: str, nodes: int, layout: str, told: Any) -> None:
    assert layout in told(start, nodes)


@pytest.mark.parametrize(
    ("allocated", "nodes", "devices"), [("-N2 -n2", 1, "auto"), ("-N2 -n4", 1, "2"), ("-n2", 1, "1"), ("-n2", 1, "4")]
)
def test_advice_works(allocated: str, nodes: int, devices: str, told: Any) -> None:
    """Both halves of it: other settings, or another srun, within the same allocation where that has the room."""
    refused = told(f"salloc {allocated} srun", nodes, devices)
    assert "refused: " in refused
    setting = re.search(r"set --trainer\.num_nodes (\d+) --trainer\.devices auto", refused)
    other = re.search(r"start it with (srun( --[a-z-]+=\d+)+)", refused)
    assert setting, refused
    assert other, refused
    assert "processes = " in told(f"salloc {allocated} srun", int(setting[1]), "auto")
    assert "processes = " in told(f"salloc {'-n4' if devices == '4' else allocated} {other[1]}", nodes, devices)


def test_two_steps_of_a_job_are_two_runs_and_a_script_alone_is_one(cluster: Any) -> None:
    """The two begin at the same moment; each has two processes and another seed."""
    fit = f"{shlex.quote(sys.executable)} -m repro fit --config small.yaml --study steps --trainer.max_epochs 3"
    steps = " & ".join(f"srun -n2 --exact {fit} --seed {seed}" for seed in (1, 2))
    (cluster.folder / "steps.sh").write_text(f"#!/bin/bash\n{steps} & wait %1 && wait %2 && {fit} --seed 3\n")
    number = cluster.submit("-n4", "--output=slurm-%j.out", "steps.sh", pace=0)
    cluster.finish(number)
    runs = find_runs([cluster.folder / "runs" / "steps"])
    found = {load(run.config_path).seed: (run.status, run.lives[0]["world_size"]) for run in runs}
    assert found == {1: ("finished", 2), 2: ("finished", 2), 3: ("finished", 1)}
    assert "this SLURM job has 4 tasks, but srun did not start this process" in cluster.log(number)


def test_a_killed_task_ends_its_step_in_a_line(cluster: Any) -> None:
    """srun is told not to kill the others: they see it by themselves."""
    script = "#!/bin/bash\nsrun -n2 --no-kill --kill-on-bad-exit=0 "
    script += (
        f"{shlex.quote(sys.executable)} -m repro fit --config small.yaml --study killed --trainer.max_epochs 9999\n"
    )
    (cluster.folder / "killed.sh").write_text(script)
    number = cluster.submit("-n2", "--output=slurm-%j.out", "killed.sh", pace=0.05)
    cluster.wait_for_checkpoint("killed")
    (run,) = find_runs([cluster.folder / "runs" / "killed"])
    holder = run.holder
    assert holder is not None
    others = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/environ")
        if path.parent.name != str(holder["pid"]) and is_task(path, number, "1")
    ]
    assert others
    for process in others:
        subprocess.run(["kill", "-9", str(process)], check=False)
    cluster.wait(number, lambda known: known["JobState"] in ("FAILED", "COMPLETED"), 60)
    assert "has gone: it was killed, or its node is down; the run cannot go on without it" in cluster.log(number)
    assert run.status == "failed"


def is_task(environ: Path, job: str, rank: str) -> bool:
    try:
        known = environ.read_bytes().split(b"\0")
        command = (environ.parent / "cmdline").read_bytes()
    except OSError:
        return False
    return {f"SLURM_JOB_ID={job}".encode(), f"SLURM_PROCID={rank}".encode()} <= set(known) and b"repro" in command
