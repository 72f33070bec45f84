"""Which processes a run consists of, told from the environment before torch is imported."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, Literal

from repro.config import Config
from repro.errors import UserError
from repro.machine import number, processors

_RANKS = ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK")
_RENDEZVOUS = ("MASTER_ADDR", "TORCHELASTIC_RUN_ID", "LSB_JOBID")
_MOST_DEVICES = 8  # of a machine whose GPUs have few processors
_INTERACTIVE = ("bash", "interactive")


def is_first_rank() -> bool:
    """Whether this is the process that writes and speaks, told before any process group exists."""
    return not any(number(name, 0) for name in _RANKS)


def in_slurm(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether SLURM has started this process as one of a job's tasks; an interactive job's shell is left alone."""
    return "SLURM_NTASKS" in environment and environment.get("SLURM_JOB_NAME") not in _INTERACTIVE


def slurm_devices(environment: Mapping[str, str] = os.environ) -> int | None:
    """Tasks on each node of the SLURM job: one drives one device. None outside of SLURM."""
    if not in_slurm(environment):
        return None
    tasks, nodes = number("SLURM_NTASKS", 1, environment), number("SLURM_NNODES", 1, environment)
    return number("SLURM_NTASKS_PER_NODE", max(1, tasks // max(1, nodes)), environment)


def devices(config: Config) -> int | str:
    """What `lightning.pytorch.Trainer` gets as ``devices``: in a SLURM job one for each task of a node."""
    if config.trainer.devices != "auto":
        return config.trainer.devices
    if config.model.solver == "exact":
        return 1
    if (tasks := slurm_devices()) is not None:
        return tasks
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


def require_other_nodes(config: Config, environment: Mapping[str, str] = os.environ) -> None:
    """See that somebody starts the processes of the other nodes: without them this one would wait for half an hour.

    Raises:
        UserError: For more than one node outside of SLURM, torchrun and whatever else says where the first node is.
    """
    nodes = config.trainer.num_nodes
    if nodes > 1 and not in_slurm(environment) and not any(name in environment for name in _RENDEZVOUS):
        raise UserError(
            f"trainer.num_nodes is {nodes}, and nothing here starts the other nodes' processes: hand the run to SLURM "
            "(sbatch sbatch/ddp.sbatch) or to torchrun, or set --trainer.num_nodes 1"
        )


def _require_processors(wanted: int | str) -> None:
    """Refuse to begin many more processes than there is room for: they would hear nothing for minutes."""
    if wanted != "auto" and int(wanted) > (most := max(_MOST_DEVICES, 2 * processors())):
        raise UserError(f"trainer.devices is {wanted}; allowed on this machine, with {processors()} processors: {most}")


def check_layout(config: Config, environment: Mapping[str, str] = os.environ) -> str:
    """Hold the job's tasks against the devices that are asked for.

    Returns:
        The layout in words.

    Raises:
        UserError: SLURM has started another number of tasks or nodes: the processes would wait for each other forever.
    """
    trainer = config.trainer
    per_node = slurm_devices(environment)
    if per_node is None:
        _require_processors(trainer.devices)
        return f"{trainer.num_nodes} x {trainer.devices} devices, no SLURM job"
    nodes, tasks = number("SLURM_NNODES", 1, environment), number("SLURM_NTASKS", 1, environment)
    if tasks > 1 and "SLURM_NTASKS_PER_NODE" not in environment:
        raise UserError(
            f"the SLURM job has {tasks} tasks; ask for them with --ntasks-per-node, not with --ntasks alone"
        )
    if nodes != trainer.num_nodes:
        raise UserError(
            f"trainer.num_nodes is {trainer.num_nodes} and the SLURM job has {nodes} nodes; "
            f"set --trainer.num_nodes {nodes}, or submit with --nodes={trainer.num_nodes}"
        )
    if config.model.solver == "exact" and tasks > 1:
        raise UserError(f"model.solver exact is one process and the SLURM job has {tasks} tasks; submit with one")
    if trainer.devices not in ("auto", per_node) or tasks != per_node * nodes:
        raise UserError(
            f"trainer.devices is {trainer.devices} and the SLURM job has {tasks} tasks on {nodes} nodes; set "
            f"--trainer.devices {per_node}, or submit with --ntasks-per-node={trainer.devices}"
        )
    return f"{tasks} processes = {nodes} nodes x {per_node} tasks, one device each"
