"""Batch scripts for SLURM, as a pure function of what is asked for."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from repro.errors import UserError
from repro.text import unseen

SIGNAL_SECONDS = 300
"""How long before the time limit a job is told: time to end a batch, or an evaluation, and save."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a batch script asks SLURM for, and what it runs."""

    title: Sequence[str]
    """What it does and how it is used, a comment line each."""
    command: str
    """What runs in every task, after ``python -m repro``; shell text."""
    name: str = "repro"
    nodes: int = 1
    tasks_per_node: int = 1
    """Processes of a node: one for each device."""
    gpus_per_node: int = 1
    cpus_per_task: int = 8
    time: str = "24:00:00"
    """Time limit of one life; the run goes on in the next."""
    output: str = "slurm-%j.out"
    array: str | None = None
    """Numbers of the array's tasks, ``0-9%4``."""
    partition: str | None = None
    extra: Sequence[str] = field(default_factory=tuple)
    """Further options of sbatch, ``--account=physics``."""


def _options(job: Job) -> list[tuple[str, str]]:
    """Options of sbatch, with what is to be said of each."""
    options = [
        (f"--job-name={job.name}", ""),
        (f"--nodes={job.nodes}", "= --trainer.num_nodes" if job.nodes > 1 else ""),
        (f"--ntasks-per-node={job.tasks_per_node}", "= --trainer.devices: one process drives one device"),
    ]
    if job.gpus_per_node:
        options.append((f"--gpus-per-node={job.gpus_per_node}", "all processes of a node see all of its GPUs"))
    options += [
        (f"--cpus-per-task={job.cpus_per_task}", ""),
        (f"--time={job.time}", "of one life: the run goes on in the next"),
        (f"--signal=USR1@{SIGNAL_SECONDS}", "seconds before that, every process is told: save, and requeue"),
        ("--requeue", "after preemption and node failure, too"),
        ("--open-mode=append", "all lives write into one log"),
        (f"--output={job.output}", ""),
    ]
    if job.array is not None:
        options.append((f"--array={job.array}", ""))
    if job.partition is not None:
        options.append((f"--partition={job.partition}", ""))
    return [*options, *((option, "") for option in job.extra)]


def quoted(option: str) -> str:
    r"""An option of sbatch's as it stands in a script: sbatch splits a line at spaces and stops reading at a ``#``.

    Example:
        >>> print(quoted("--job-name=my study #1"))
        "--job-name=my study \#1"
    """
    if re.fullmatch(r"[\w=%@.,:/+\[\]~^*!-]*", option):
        return option
    return '"' + re.sub(r'([\\"#])', r"\\\1", option) + '"'


def _require_one_line(what: str, text: str) -> None:
    """What a script is made of may come from a stranger's study: a line break would begin a command of its own."""
    if odd := unseen(text):
        raise UserError(
            f"{what} '{text}' cannot stand in a job script: it has {odd}; name it without control characters"
        )


def text(job: Job) -> str:
    """The text of a job's batch script.

    Raises:
        UserError: Something that goes into it holds control characters, such as line breaks.
    """
    options = _options(job)
    for what, parts in (
        ("title", job.title),
        ("option", [option for option, _ in options]),
        ("command", [job.command]),
    ):
        for part in parts:
            _require_one_line(what, part)
    lines = ["#!/bin/bash", *(f"# {line}".rstrip() for line in job.title)]
    for option, note in options:
        lines.append(f"#SBATCH {quoted(option):<28} # {note}" if note else f"#SBATCH {quoted(option)}")
    return "\n".join(
        [
            *lines,
            "",
            "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK  # srun does not take it over by itself",
            "# If one process fails, the others would wait for it.",
            f"exec srun --kill-on-bad-exit=1 python -m repro {job.command}",
            "",
        ]
    )


_ONCE = "Told to stop, preempted or requeued, it saves and goes on bit for bit; what is finished is left alone."

RUN = Job(
    title=(
        "One run on one GPU: sbatch sbatch/run.sbatch --config configs/oyedotun-mnist.yaml --model.network resnext110",
        _ONCE,
        "Submit it from the folder that holds runs/ and data/, with the environment active (python is looked up).",
    ),
    command='fit "$@"',
)
STUDY = Job(
    title=(
        "A study, one run a task, two at once: sbatch --array=0-8%2 sbatch/study.sbatch oyedotun-table2 --preset full",
        "repro study plan oyedotun-table2 --preset full lists its runs from 0 on; repro study submit does all of it.",
        _ONCE,
    ),
    command='study run "$@" --task "$SLURM_ARRAY_TASK_ID"',
    name="repro-study",
    output="slurm-%A_%a.out",
)
DDP = Job(
    title=(
        "One run on several GPUs and nodes:",
        "sbatch sbatch/ddp.sbatch --config configs/oyedotun-imagenet.yaml --trainer.devices 4 --trainer.num_nodes 2",
        "The global batch stays data.batch_size: each of the eight processes takes an eighth of it.",
        _ONCE,
    ),
    command='fit "$@"',
    name="repro-ddp",
    nodes=2,
    tasks_per_node=4,
    gpus_per_node=4,
)
SCRIPTS = {"run": RUN, "study": STUDY, "ddp": DDP}
"""The scripts in ``sbatch/``, by file name."""


def study(
    name: str,
    arguments: Sequence[str],
    *,
    array: str,
    output: str,
    nodes: int = 1,
    devices: int = 1,
    gpus: bool = True,
    time: str | None = None,
    partition: str | None = None,
    extra: Sequence[str] = (),
) -> Job:
    """``sbatch/study.sbatch`` with everything filled in.

    Args:
        name: The study's folder.
        arguments: Of ``repro study run``.
        array: Which of its runs, and how many at once.
        output: Where logs go.
        nodes: Nodes of a run.
        devices: Processes, and GPUs, of a node.
        gpus: Whether it trains on GPUs.
        time: Time limit of one life.
        partition: SLURM's.
        extra: Further options of sbatch.
    """
    return dataclasses.replace(
        STUDY,
        title=(f"Made by repro study submit: runs {array.split('%')[0]} of {name}.", _ONCE),
        command=f'study run {shlex.join(arguments)} --task "$SLURM_ARRAY_TASK_ID"',
        name=f"repro-{name}",
        array=array,
        output=output,
        nodes=nodes,
        tasks_per_node=devices,
        gpus_per_node=devices if gpus else 0,
        time=time or STUDY.time,
        partition=partition,
        extra=tuple(extra),
    )
