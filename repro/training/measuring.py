"""The callback that looks at the network while it trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float, Int
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from repro.measurements import Reading, measure


@runtime_checkable
class TakesReadings(Protocol):
    """A logger that wants readings."""

    def log_readings(self, readings: Sequence[Reading], *, step: int, epoch: int) -> None:
        """Log readings taken after `step` steps."""
        ...


class MeasureCallback(Callback):
    """Takes measurements on a fixed probe: before the first step, at epoch ends, at named steps.

    The training goes on exactly as it would without it.

    Args:
        images: The probe, as the network reads it.
        labels: The probe's classes.
        measurements: Names in `repro.measurements.MEASUREMENTS`.
        every_n_epochs: Measure at the end of every n-th epoch, and of the last.
        at_steps: Measure after these steps as well.
        mode: Normalise by running statistics (``eval``) or by the probe's own (``train``).
    """

    def __init__(
        self,
        images: Float[Tensor, "batch channels height width"],
        labels: Int[Tensor, " batch"],
        *,
        measurements: Sequence[str] = ("weights", "representations"),
        every_n_epochs: int = 1,
        at_steps: Sequence[int] = (),
        mode: Literal["eval", "train"] = "eval",
    ) -> None:
        self.images, self.labels = images, labels
        self.measurements = tuple(measurements)
        self.every_n_epochs = every_n_epochs
        self.at_steps = frozenset(at_steps)
        self.mode: Literal["eval", "train"] = mode

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure before the first step; a resumed run has done so already."""
        if trainer.global_step == 0:
            self._measure(trainer, pl_module)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,  # noqa: ARG002
        batch: object,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Measure at named steps; an epoch's last step waits for the epoch's end if that is measured."""
        at_epoch_end = batch_idx + 1 >= trainer.num_training_batches and self._due(trainer)
        if trainer.global_step in self.at_steps and not at_epoch_end:
            self._measure(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure at the end of every n-th epoch."""
        if self._due(trainer):
            self._measure(trainer, pl_module)

    def _due(self, trainer: Trainer) -> bool:
        epoch = trainer.current_epoch + 1
        return epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs

    def _measure(self, trainer: Trainer, pl_module: LightningModule) -> None:
        network = pl_module.network if isinstance(getattr(pl_module, "network", None), nn.Module) else pl_module
        assert isinstance(network, nn.Module)
        device = pl_module.device
        readings = measure(
            network, self.images.to(device), self.labels.to(device), measurements=self.measurements, mode=self.mode
        )
        for logger in trainer.loggers:
            if isinstance(logger, TakesReadings):
                logger.log_readings(readings, step=trainer.global_step, epoch=trainer.current_epoch)
