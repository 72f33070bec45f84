"""The SLURM step that this process is a task of. An allocation alone, or its batch script, starts no processes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from repro.machine import number

_FIRST_PORT, _PORTS = 15_000, 15_000  # below those that systems hand out by themselves
_REAL_STEPS = 2**32 - 16  # the numbers above are those of batch scripts and of the shells of salloc


@dataclass(frozen=True, kw_only=True)
class Step:
    """One task of a step: what `srun` has started, and no other."""

    rank: int
    local_rank: int
    node: int
    tasks_per_node: tuple[int, ...]
    first_node: str
    name: str
    """Job, step and how often the job was requeued: what all tasks of a step share, and no others."""

    @property
    def tasks(self) -> int:
        """Processes of the step."""
        return sum(self.tasks_per_node)

    @property
    def here(self) -> int:
        """Processes of the step on this node."""
        return self.tasks_per_node[self.node]

    @property
    def port(self) -> int:
        """Where the step's processes meet, unless MASTER_PORT says so: another one for each step."""
        job, number, _ = (int(part) for part in self.name.split("."))
        return _FIRST_PORT + (job * 17 + number * 5) % _PORTS


def step(environment: Mapping[str, str] = os.environ) -> Step | None:
    """The step that this process is a task of; None outside of SLURM, without srun, and for processes of torchrun's.

    A batch script that was submitted from within a step has that one's variables, but its own job's SLURM_NTASKS.
    """
    tasks = number("SLURM_STEP_NUM_TASKS", 0, environment)
    started = tasks and tasks == number("SLURM_NTASKS", 0, environment) and "SLURM_PROCID" in environment
    identity = environment.get("SLURM_STEP_ID", "")
    if not started or not identity.isdecimal() or int(identity) >= _REAL_STEPS or "TORCHELASTIC_RUN_ID" in environment:
        return None
    per_node = _counts(environment.get("SLURM_STEP_TASKS_PER_NODE", str(tasks)))
    return Step(
        rank=number("SLURM_PROCID", 0, environment),
        local_rank=number("SLURM_LOCALID", 0, environment),
        node=number("SLURM_NODEID", 0, environment),
        tasks_per_node=per_node,
        first_node=first_host(environment.get("SLURM_STEP_NODELIST", "127.0.0.1")),
        name=f"{number('SLURM_JOB_ID', 0, environment)}.{identity}.{number('SLURM_RESTART_COUNT', 0, environment)}",
    )


def _counts(text: str) -> tuple[int, ...]:
    """Tasks by node, as SLURM shortens them: ``2(x3),1``."""
    parts = re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    return tuple(int(count) for count, times in parts for _ in range(int(times or 1)))


def first_host(nodes: str) -> str:
    """The first node of a list as SLURM writes it: ``r1n03`` of ``r[1-2]n[03-04],s7``."""
    first = re.match(r"(?:\[[^\]]*\]|[^,\[])*", nodes)
    return re.sub(r"\[(\d+)[^\]]*\]", r"\1", first[0] if first else nodes)
