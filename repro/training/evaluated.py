"""Evaluating a network on the parts of its data, and recording what comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch.nn.functional as F
from jaxtyping import Float, Int
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torchmetrics import MetricCollection

from repro.distributed.ranks import Ranks
from repro.training.metrics import epoch_means

Batch = tuple[Float[Tensor, "batch ..."], Int[Tensor, " batch"]]


class EvaluatedModule(LightningModule):
    """A module whose network is evaluated on whole parts: their mean cross-entropy and accuracy.

    Args:
        network: Any network that maps images to class scores.
        num_classes: Its classes.
    """

    def __init__(self, network: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.network = network
        self.latest: dict[str, float] = {}
        """The metrics recorded last, for progress displays."""
        self.final: dict[str, float] = {}
        """Metrics of the last pass of `Trainer.test`."""
        parts = ("train", "validation", "test")
        self.evaluation_metrics = nn.ModuleDict({f"on_{part}": epoch_means(num_classes) for part in parts})

    def on_test_start(self) -> None:
        """Give every rank the same buffers before testing."""
        Ranks.of_process_group().broadcast_buffers(self.network)

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:  # noqa: ARG002
        """Evaluate a batch of one of the DataModule's held-out parts."""
        self._evaluate(batch, self.held_out[dataloader_idx])

    def on_validation_epoch_end(self) -> None:
        """Record the metrics of the held-out parts."""
        metrics = self._evaluated(self.held_out)
        if not self.trainer.sanity_checking:  # a stranger's Trainer looks at two batches first
            self.record(metrics)
            self._show(metrics)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:  # noqa: ARG002
        """Evaluate a batch of the training set or of a held-out part."""
        self._evaluate(batch, ["train", *self.held_out][dataloader_idx])

    def on_test_epoch_end(self) -> None:
        """Keep the metrics as the run's final ones: ``train_accuracy`` and so on."""
        metrics = self._evaluated(["train", *self.held_out])
        self.final = {name.replace("/", "_"): value for name, value in metrics.items()}
        self._show(metrics)

    @property
    def held_out(self) -> Sequence[str]:
        """The parts that are held out, in the order of their loaders."""
        # The DataModules of this package know their parts; any other module's single loader counts as the test set.
        return getattr(self.trainer.datamodule, "evaluated", ["test"])  # type: ignore[attr-defined]

    def _evaluate(self, batch: Batch, part: str) -> None:
        images, labels = batch
        if not len(labels):  # fewer images than ranks are left: the mean of none is no number
            return
        self.assess(self(images), labels, part)

    def assess(self, scores: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"], part: str) -> None:
        """Take the scores of a part's batch into its means."""
        metrics = cast(MetricCollection, self.evaluation_metrics[f"on_{part}"])
        metrics["cross_entropy"].update(F.cross_entropy(scores, labels), len(labels))
        metrics["accuracy"].update(scores, labels)

    def _evaluated(self, parts: Sequence[str]) -> dict[str, float]:
        results: dict[str, float] = {}
        for part in parts:
            metrics = cast(MetricCollection, self.evaluation_metrics[f"on_{part}"])
            results |= {f"{part}/{name}": value.item() for name, value in metrics.compute().items()}
            metrics.reset()
        return results

    def record(self, metrics: Mapping[str, float]) -> None:
        """Hand metrics to every logger now, under the number of steps taken.

        Lightning's own `log` hands epoch metrics over only after the epoch's checkpoint is saved, so that a run killed
        in between would lack them.
        """
        self.latest |= metrics
        for logger in self.trainer.loggers:
            logger.log_metrics({**metrics, "epoch": self.trainer.current_epoch}, step=self.trainer.global_step)

    def _show(self, metrics: Mapping[str, float]) -> None:
        """Let callbacks of Lightning's watch metrics, such as EarlyStopping."""
        self.log_dict(dict(metrics), logger=False, sync_dist=True)
