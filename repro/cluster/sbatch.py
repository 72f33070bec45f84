"""Batch scripts for SLURM, as a pure function of what is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from repro.errors import UserError
from repro.runs.requeue import REQUEUE_ME, RESUBMIT
from repro.text import unseen

SIGNAL_SECONDS = 300
"""How long before the time limit a job is told: time to end a batch, or an evaluation, and save."""
_RESUBMISSION = f'export {RESUBMIT}="$(cat "$0")"  # cancelled to make room for another, it submits this again'


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a user asks of SLURM for a job, whatever it runs."""

    time: str = "24:00:00"
    """Time limit of one life; the run goes on in the next."""
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    mem: str | None = None
    """Memory of a node."""
    gres: str | None = None
    """In place of GPUs of a node: ``gpu:a100:2``."""
    extra: Sequence[str] = field(default_factory=tuple)
    """Further options of sbatch, ``--mail-type=END``."""
    setup: str = ""
    """Shell text that makes the environment: modules, a container (``REPRO_PYTHON``), an activation."""
    resubmit: bool = False
    """Whether a job that SLURM cancels to make room for another submits itself again."""

    def options(self) -> Iterator[str]:
        """Those that are given, as sbatch takes them."""
        for name in ("partition", "account", "qos", "constraint", "mem", "gres"):
            if (value := getattr(self, name)) is not None:
                yield f"--{name}={value}"
        yield from self.extra


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
    notice: int = SIGNAL_SECONDS
    """Seconds before the time limit at which it is told."""
    output: str = "slurm-%j.out"
    array: str | None = None
    """Numbers of the array's tasks, ``0-9%4``."""
    resources: Resources = field(default_factory=Resources)


def _options(job: Job) -> list[tuple[str, str]]:
    """Options of sbatch, with what is to be said of each."""
    options = [
        (f"--job-name={job.name}", ""),
        (f"--nodes={job.nodes}", "= --trainer.num_nodes" if job.nodes > 1 else ""),
        (f"--ntasks-per-node={job.tasks_per_node}", "= --trainer.devices: one process drives one device"),
    ]
    if job.gpus_per_node and job.resources.gres is None:
        options.append((f"--gpus-per-node={job.gpus_per_node}", "all processes of a node see all of its GPUs"))
    options += [
        (f"--cpus-per-task={job.cpus_per_task}", ""),
        (f"--time={job.resources.time}", "of one life: the run goes on in the next"),
        (f"--signal=USR2@{job.notice}", "seconds before that, every process is told: save, and requeue"),
        ("--requeue", "after preemption and node failure, too"),
        ("--open-mode=append", "all lives write into one log"),
        (f"--output={job.output}", ""),
    ]
    if job.array is not None:
        options.append((f"--array={job.array}", ""))
    return [*options, *((option, "") for option in job.resources.options())]


def quoted(option: str) -> str:
    """An option of sbatch's as it stands in a script: sbatch splits a line at spaces and stops reading at a ``#``."""
    if re.fullmatch(r"[\w=%@.,:/+\[\]~^*!-]*", option):
        return option
    return '"' + re.sub(r'([\\"#])', r"\\\1", option) + '"'


def _require_one_line(what: str, texts: Iterable[str]) -> None:
    """What a script is made of may come from a stranger's study: a line break would begin a command of its own."""
    for text in texts:
        if odd := unseen(text):
            raise UserError(
                f"{what} '{text}' cannot stand in a job script: it has {odd}; name it without control characters"
            )


def require_setup(text: str, source: str) -> None:
    """Refuse a setup with control characters or options of sbatch, which are read at the head of a script only."""
    lines = text.splitlines() if not unseen(text.replace("\n", "").replace("\t", "")) else None
    if lines is None:
        raise UserError(f"{source} has control characters (or Windows line ends: dos2unix); allowed: lines of shell")
    if option := next((line for line in lines if line.startswith("#SBATCH")), None):
        raise UserError(f"{source} has '{option}', which sbatch would ignore; give it as --sbatch=--OPTION")


def script(options: Sequence[tuple[str, str]], commands: Sequence[str], title: Sequence[str] = ()) -> str:
    """A batch script: what it does, options of sbatch, each with what is to be said of it, then lines of shell.

    `UserError` where an option or the title holds control characters, such as line breaks.
    """
    _require_one_line("title", title)
    _require_one_line("option", [option for option, _ in options])
    lines = ["#!/bin/bash", *(f"# {line}".rstrip() for line in title)]
    for option, note in options:
        lines.append(f"#SBATCH {quoted(option):<28} # {note}" if note else f"#SBATCH {quoted(option)}")
    return "\n".join([*lines, "", *commands, ""])


def text(job: Job) -> str:
    """The text of a job's batch script; `UserError` if something in it holds control characters (line breaks)."""
    _require_one_line("command", [job.command])
    require_setup(job.resources.setup, "the setup")
    setup = job.resources.setup.rstrip("\n").split("\n")
    commands = [
        "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK  # srun does not take it over by itself",
        *([_RESUBMISSION] if job.resources.resubmit else []),
        *(["", *setup, ""] if job.resources.setup else []),
        "# If one process fails, the others would wait for it.",
        f"srun --kill-on-bad-exit=1 ${{REPRO_PYTHON:-python}} -m repro {job.command}",
        "status=$?",
        f'if [ "$status" -eq {REQUEUE_ME} ]; then  # a run that cannot ask for it itself, as in a container',
        '  scontrol requeue "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"',
        "fi",
        'exit "$status"',
    ]
    return script(_options(job), commands, job.title)
