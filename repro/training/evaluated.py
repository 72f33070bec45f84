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
from repro.errors import UserError
from repro.training.metrics import epoch_means

Batch = tuple[Float[Tensor, "batch ..."], Int[Tensor, " batch"]]


class EvaluatedModule(LightningModule):
    """A module whose network is evaluated on whole parts: their mean cross-entropy and accuracy."""

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
        """As before a validation."""
        Ranks.of_process_group().broadcast_buffers(self.network)

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Evaluate a batch of one of the DataModule's held-out parts."""
        self._evaluate(batch, self.held_out[dataloader_idx])

    def on_validation_epoch_end(self) -> None:
        """Record what was evaluated."""
        found = self._evaluated(self.held_out)
        if not self.trainer.sanity_checking:  # a stranger's Trainer looks at two batches first
            self.record(found)
            self._show(found)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Evaluate a batch of the training set or of a held-out part."""
        self._evaluate(batch, self.tested[dataloader_idx])

    def on_test_epoch_end(self) -> None:
        """Keep what was evaluated, as the run's final metrics: ``train_accuracy`` and so on."""
        found = self._evaluated(self.tested)
        self.final = {name.replace("/", "_"): value for name, value in found.items()}
        self._show(found)

    @property
    def held_out(self) -> Sequence[str]:
        """The parts that are held out, in the order of their loaders."""
        return self._parts(getattr(self.trainer.datamodule, "evaluated", ()), len(self.trainer.num_val_batches))  # type: ignore[attr-defined]

    @property
    def tested(self) -> Sequence[str]:
        """The parts that `Trainer.test` evaluates, in the order of their loaders."""
        held_out = getattr(self.trainer.datamodule, "evaluated", None)  # type: ignore[attr-defined]
        return self._parts(() if held_out is None else ("train", *held_out), len(self.trainer.num_test_batches))

    def _parts(self, known: Sequence[str], loaders: int) -> Sequence[str]:
        """DataModules of ours know their parts; anyone else's single loader counts as the test set."""
        if len(known) == loaders:
            return known
        if loaders == 1:
            return ["test"]
        raise UserError(
            f"there are {loaders} loaders to evaluate, and nothing says which is which; pass one, the test set, "
            "or a DataModule of repro's"
        )

    def _evaluate(self, batch: Batch, part: str) -> None:
        images, labels = batch
        if not len(labels):  # fewer images than ranks are left: the mean of none is no number
            return
        self.assess(self(images), labels, part)

    def _means(self, part: str) -> MetricCollection:
        return cast(MetricCollection, self.evaluation_metrics[f"on_{part}"])

    def assess(self, scores: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"], part: str) -> None:
        """Take the scores of a part's batch into its means."""
        metrics = self._means(part)
        metrics["cross_entropy"].update(F.cross_entropy(scores, labels), len(labels))
        metrics["accuracy"].update(scores, labels)

    def _evaluated(self, parts: Sequence[str]) -> dict[str, float]:
        found: dict[str, float] = {}
        for part in parts:
            metrics = self._means(part)
            found |= {f"{part}/{name}": value.item() for name, value in metrics.compute().items()}
            metrics.reset()
        return found

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
