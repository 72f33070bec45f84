"""SLURM's variables, as real jobs had them: a step is what srun has started, and nothing else is."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from repro.config import from_mapping
from repro.distributed.processes import check_layout, require_others
from repro.distributed.slurm import first_host, step
from repro.errors import UserError

BATCH = {
    **{"SLURM_JOB_ID": "7", "SLURM_NTASKS": "3", "SLURM_NNODES": "2", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"},
    **{"SLURM_NODEID": "0", "SLURM_TASKS_PER_NODE": "2,1", "SLURM_NODELIST": "r[1-2]n3"},
}
SRUN = {
    **BATCH,
    **{"SLURM_STEP_ID": "4", "SLURM_STEP_NUM_TASKS": "3", "SLURM_STEP_TASKS_PER_NODE": "2,1", "SLURM_PROCID": "2"},
    **{"SLURM_STEP_NODELIST": "r[1-2]n3", "SLURM_NODEID": "1", "SLURM_LOCALID": "0"},
}


def test_a_task_of_an_uneven_step_knows_its_place() -> None:
    known = step(SRUN)
    assert known is not None
    assert (known.rank, known.tasks, known.node, known.here, known.first_node) == (2, 3, 1, 1, "r1n3")
    long = step(SRUN | {"SLURM_STEP_TASKS_PER_NODE": "4(x3),1", "SLURM_STEP_NUM_TASKS": "13", "SLURM_NTASKS": "13"})
    assert long is not None
    assert long.tasks_per_node == (4, 4, 4, 1)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        BATCH,
        {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_JOB_NAME": "dev"},  # the shell of salloc
        SRUN | {"SLURM_STEP_ID": "4294967290"},  # the same where it is a step by itself
        BATCH | {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "1"},  # submitted from within a step
        SRUN | {"TORCHELASTIC_RUN_ID": "none"},  # srun has started torchrun
    ],
)
def test_what_srun_has_not_started_is_no_step(environment: dict[str, str]) -> None:
    assert step(environment) is None


def test_two_steps_of_a_job_meet_at_different_ports() -> None:
    found = [step(SRUN | {"SLURM_STEP_ID": number, "SLURM_JOB_ID": job}) for job in "78" for number in "01"]
    assert len({known.port for known in found if known}) == 4
    assert all(known is not None and 15_000 <= known.port < 30_000 for known in found)


LISTS = ("r[1-2]n[3-4]", "n[01-03,5],m", "gpu[008-010,100]", "127.0.0.[1-2]", "n1,n2", "r[10,1-2]n[007]", "a-b2,d")


@pytest.mark.parametrize("nodes", LISTS)
def test_the_first_node_of_a_list_is_scontrols(nodes: str, tmp_path: Path) -> None:
    if shutil.which("scontrol") is None:
        pytest.skip("needs scontrol, of SLURM's client")
    (tmp_path / "slurm.conf").write_text("ClusterName=none\nSlurmctldHost=none\n")
    shown = subprocess.run(
        ["scontrol", "show", "hostnames", nodes],
        env={**os.environ, "SLURM_CONF": str(tmp_path / "slurm.conf")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert first_host(nodes) == shown.stdout.split()[0]


def test_layouts_are_told_in_words() -> None:
    config = from_mapping({"trainer": {"num_nodes": 2}})
    assert check_layout(config, SRUN) == "3 processes = 2 nodes x 2, 1 tasks, one device each"
    with pytest.raises(
        UserError, match="2, 1 tasks a node on 2 nodes; set --trainer.num_nodes 2 --trainer.devices auto"
    ):
        check_layout(from_mapping({}), SRUN)
    with pytest.raises(UserError, match="srun --nodes=2 --ntasks=4 --ntasks-per-node=2"):
        check_layout(from_mapping({"trainer": {"num_nodes": 2, "devices": 2}}), SRUN)


def test_without_srun_it_is_said_that_the_others_are_missing(capsys: pytest.CaptureFixture[str]) -> None:
    require_others(from_mapping({}), BATCH)
    assert "this SLURM job has 3 tasks, but srun did not start this process" in capsys.readouterr().err
    require_others(from_mapping({"trainer": {"devices": 1}}), BATCH)
    require_others(from_mapping({"trainer": {"num_nodes": 2}}), SRUN)
    assert capsys.readouterr().err == ""
    with pytest.raises(UserError, match="start it with srun, or with torchrun, or set --trainer.num_nodes 1"):
        require_others(from_mapping({"trainer": {"num_nodes": 2}}), BATCH)
