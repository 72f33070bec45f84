"""Which processes a run consists of, told from the environment before torch is imported."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, Literal

from repro.config import Config
from repro.distributed import slurm
from repro.errors import UserError
from repro.machine import number, processors
from repro.text import say

_RANKS = ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK")
_RENDEZVOUS = ("MASTER_ADDR", "TORCHELASTIC_RUN_ID", "LSB_JOBID")
_MOST_DEVICES = 8  # of a machine whose GPUs have few processors


def is_first_rank() -> bool:
    """Whether this is the process that writes and speaks, told before any process group exists."""
    return not any(number(name, 0) for name in _RANKS)


def devices(config: Config) -> int | str:
    """What `lightning.pytorch.Trainer` gets as ``devices``: in a SLURM step one for each task of this node."""
    if config.trainer.devices != "auto":
        return config.trainer.devices
    if config.model.solver == "exact":
        return 1
    if (step := slurm.step()) is not None:
        return step.here
    import torch

    on_cpu = config.trainer.accelerator == "cpu" or not torch.cuda.is_available()
    return 1 if on_cpu else "auto"


def alone(config: Config, *, accelerator: Literal["auto", "cpu"] = "auto") -> Config:
    """The configuration for one process on this machine, to look at its network and not to train it."""
    settings: dict[str, Any] = {
        "accelerator": accelerator,
        "devices": 1,
        "num_nodes": 1,
        "compile": "none",
        "compile_mode": "default",
    }
    return dataclasses.replace(config, trainer=dataclasses.replace(config.trainer, **settings))


def several(config: Config) -> bool:
    """Whether more than one process trains."""
    import torch

    count = devices(config)
    return (torch.cuda.device_count() if count == "auto" else int(count)) * config.trainer.num_nodes > 1


def require_others(config: Config, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse more than one node where nobody says where the first is: this process would wait for the others in vain.

    Of a SLURM job whose tasks nobody has started it is said that this process trains without them.
    """
    if slurm.step(environment) is not None or any(name in environment for name in _RENDEZVOUS):
        return
    nodes, tasks = config.trainer.num_nodes, number("SLURM_NTASKS", 1, environment)
    if nodes > 1:
        how = "start it with srun" if "SLURM_JOB_ID" in environment else "hand the run to SLURM (sbatch/ddp.sbatch)"
        raise UserError(
            f"trainer.num_nodes is {nodes}, and nothing here starts the other nodes' processes: {how}, or with "
            "torchrun, or set --trainer.num_nodes 1"
        )
    if tasks > 1 and config.trainer.devices == "auto" and is_first_rank():
        say(
            f"note: this SLURM job has {tasks} tasks, but srun did not start this process, which trains without "
            "the others; `srun repro fit ...` trains in all of them"
        )


def _require_processors(wanted: int | str) -> None:
    """Refuse to begin many more processes than there is room for: they would hear nothing for minutes."""
    if wanted != "auto" and int(wanted) > (most := max(_MOST_DEVICES, 2 * processors())):
        raise UserError(f"trainer.devices is {wanted}; allowed on this machine, with {processors()} processors: {most}")


def check_layout(config: Config, environment: Mapping[str, str] = os.environ) -> str:
    """The layout in words, if srun has started as many tasks as there are devices; else they would wait in vain."""
    trainer, step = config.trainer, slurm.step(environment)
    if step is None:
        _require_processors(trainer.devices)
        return f"{trainer.num_nodes} x {trainer.devices} devices, no SLURM step"
    if config.model.solver == "exact" and step.tasks > 1:
        raise UserError(
            f"model.solver exact is one process and srun has started {step.tasks}; start it with srun --ntasks=1"
        )
    nodes, per_node = len(step.tasks_per_node), ", ".join(map(str, dict.fromkeys(step.tasks_per_node)))
    wanted = step.tasks_per_node[0] if trainer.devices == "auto" else int(trainer.devices)
    if nodes != trainer.num_nodes or (trainer.devices != "auto" and set(step.tasks_per_node) != {wanted}):
        raise UserError(
            f"trainer.num_nodes is {trainer.num_nodes}, trainer.devices {trainer.devices}, and srun has started "
            f"{per_node} tasks a node on {nodes} nodes; set --trainer.num_nodes {nodes} --trainer.devices auto, or "
            f"start it with srun --nodes={trainer.num_nodes} --ntasks={trainer.num_nodes * wanted} "
            f"--ntasks-per-node={wanted}"
        )
    return f"{step.tasks} processes = {nodes} nodes x {per_node} tasks, one device each"
