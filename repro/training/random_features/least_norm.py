"""The output layer solved for: the least-norm solution of Ψ V = Y, exact where Ψ has rank N (Nguyen, Theorem 3.4)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from repro.data.loading.batches import Batches
from repro.errors import UserError
from repro.machine import available_memory
from repro.training.random_features.classifier import OutputClassifier, feature_batches
from repro.training.random_features.output_layer import OutputLayer

TOLERANCE = torch.finfo(torch.float32).eps
"""What is smaller, relative to the largest, is rounding: networks compute features in float32, and V is used in it."""


@dataclass(frozen=True)
class Solution:
    """How the linear system was solved."""

    rank: int
    """Numerical rank of Ψ: the largest leading part of its pivoted QR factor with κ under 1 / `TOLERANCE`."""
    residual: float
    """‖Ψ V − Y‖ / ‖Y‖ in the Frobenius norm."""
    images: int
    features: int


def require_memory(output: OutputLayer, samples: int) -> None:
    """Refuse, before any feature is computed, what `solve` could not hold in the host's free memory."""
    columns = output.width + output.has_bias
    needed = 3 * 8 * samples * columns  # the matrix, LAPACK's copy, and as much work space
    if needed > available_memory():
        raise UserError(
            f"model.solver exact needs {needed / 1e9:.1f} GB for {samples:,} x {columns:,} features in float64"
            f"; {available_memory() / 1e9:.1f} GB are free; take fewer neurons or images, or solver sgd"
        )


@torch.no_grad()
def solve(
    output: OutputLayer, features: Float[Tensor, "samples features"], labels: Int[Tensor, " samples"]
) -> Solution:
    """Set the output's weights to the least-norm least-squares solution for one-hot targets, in float64.

    By LAPACK's gelsy, a QR factorization with column pivoting made complete. A kept output layer's bias is a column of
    ones beside Ψ.
    """
    samples, width = features.shape
    columns = width + output.has_bias
    matrix = torch.empty(samples, columns, dtype=torch.float64)
    matrix[:, :width] = features
    if output.has_bias:
        matrix[:, -1] = 1
    targets = F.one_hot(labels.cpu(), output.num_classes).double()
    result = torch.linalg.lstsq(matrix, targets, rcond=TOLERANCE, driver="gelsy")
    solution: Tensor = result.solution
    residual = float((matrix @ solution - targets).norm() / targets.norm())
    output.assign(solution)
    return Solution(int(result.rank), residual, samples, width)


def no_batches(_batches: Batches) -> DataLoader[tuple[Tensor, ...]]:
    """In place of training batches: nothing is left to train."""
    return DataLoader(TensorDataset(torch.empty(0)))


class LeastNorm(Callback):
    """Solves for the output's weights when the training is set up, which then takes no step."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compute the features, solve, and record how the system was solved."""
        assert isinstance(pl_module, OutputClassifier)
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        require_memory(pl_module.output, data.samples("train"))
        batches = data.batches("train")
        features = feature_batches(pl_module, data, self._folder, batches).features
        solution = solve(pl_module.output, features, batches.labels)
        pl_module.state_entries["solution"] = asdict(solution)
        metrics = {f"exact/{name}": float(value) for name, value in asdict(solution).items()}
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=0)
