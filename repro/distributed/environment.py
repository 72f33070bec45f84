"""Who has started this process, as Lightning's plugins see it."""

from __future__ import annotations

import os

from lightning.pytorch.plugins.environments import (  # type: ignore[attr-defined]
    ClusterEnvironment,
    LightningEnvironment,
)

from repro.distributed import slurm
from repro.machine import number


class StepEnvironment(ClusterEnvironment):
    """The SLURM step as Lightning's plugins see it: its own takes the allocation for the step."""

    def __init__(self, step: slurm.Step) -> None:
        super().__init__()
        self.step = step

    creates_processes_externally = True

    @property
    def main_address(self) -> str:
        """MASTER_ADDR, else the step's first node."""
        return os.environ.get("MASTER_ADDR", self.step.first_node)

    @property
    def main_port(self) -> int:
        """MASTER_PORT, else one of the step's own."""
        return number("MASTER_PORT", self.step.port)

    @staticmethod
    def detect() -> bool:
        """Whether this process is a step's."""
        return slurm.step() is not None

    def world_size(self) -> int:  # noqa: D102
        return self.step.tasks

    def global_rank(self) -> int:  # noqa: D102
        return self.step.rank

    def local_rank(self) -> int:  # noqa: D102
        return self.step.local_rank

    def node_rank(self) -> int:  # noqa: D102
        return self.step.node

    def set_world_size(self, size: int) -> None:
        """It is as srun has it."""

    def set_global_rank(self, rank: int) -> None:
        """It is as srun has it."""


def cluster_environment() -> ClusterEnvironment | None:
    """Who has started this process: a SLURM step, or inside of a job nobody; None where Lightning finds it out."""
    if (step := slurm.step()) is not None:
        return StepEnvironment(step)
    alone = "SLURM_NTASKS" in os.environ and "TORCHELASTIC_RUN_ID" not in os.environ
    return LightningEnvironment() if alone else None
