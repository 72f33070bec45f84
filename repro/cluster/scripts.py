"""The batch scripts that there are: those in ``sbatch/``, for use by hand, and the same with everything filled in."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from repro.cluster.sbatch import Job, Resources
from repro.config import Config

_ONCE = "If stopped, preempted or requeued, it saves and later continues, bit for bit. A finished run is skipped."

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

Layout = tuple[int, int, bool]
"""Nodes, devices of a node, whether they are GPUs."""


def layout(config: Config) -> Layout:
    """What a run needs."""
    trainer = config.trainer
    devices = 1 if trainer.devices == "auto" else int(trainer.devices)
    return trainer.num_nodes, devices, trainer.accelerator != "cpu"


def study(name: str, arguments: Sequence[str], *, array: str, output: str, where: Layout, resources: Resources) -> Job:
    """``sbatch/study.sbatch`` with everything filled in; `array`: which of the study's runs, and how many at once."""
    title = f"Made by repro study submit: runs {array.split('%')[0]} of {name}."
    command = f'study run {shlex.join(arguments)} --task "$SLURM_ARRAY_TASK_ID"'
    return _filled(title, command, f"repro-{name}", where, array=array, output=output, resources=resources)


def run(name: str, arguments: Sequence[str], *, output: str, where: Layout, resources: Resources) -> Job:
    """``sbatch/run.sbatch`` with everything filled in: the job's name, and arguments of ``repro fit``."""
    command = f"fit {shlex.join(arguments)}"
    return _filled(f"Made by repro: one run, {name}.", command, name, where, output=output, resources=resources)


def _filled(title: str, command: str, name: str, where: Layout, **more: Any) -> Job:
    nodes, devices, gpus = where
    placed: dict[str, Any] = {"nodes": nodes, "tasks_per_node": devices, "gpus_per_node": devices if gpus else 0}
    return Job(title=(title, _ONCE), command=command, name=name, **placed, **more)
