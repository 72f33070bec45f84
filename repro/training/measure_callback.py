"""The callback that looks at the network while it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from jaxtyping import Float, Int
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor, nn
from torch.optim import Optimizer

from repro.distributed.share import Share
from repro.errors import UserError
from repro.measurements import CHOSEN, DEFAULT, Reading, check, table, take
from repro.networks import WeightLayer, weight_layers
from repro.records import RunDirectory
from repro.tracking.charts import Charts, summary
from repro.tracking.record_logger import RecordLogger

if TYPE_CHECKING:
    import pandas as pd


@runtime_checkable
class TakesReadings(Protocol):
    """A logger that wants readings."""

    def log_readings(self, readings: Sequence[Reading], *, step: int, epoch: int) -> None:
        """Log readings taken after `step` steps."""
        ...


@runtime_checkable
class NotesDivergence(Protocol):
    """A module that knows whether its training has diverged."""

    def require_convergence(self, *, now: bool) -> None:
        """Raise if it has."""
        ...


class MeasureCallback(Callback):
    """Takes measurements on a fixed probe: before the first step, at epoch ends, at named steps.

    The training goes on exactly as it would without it. It works in anyone's Trainer::

        images, labels = next(iter(loader))
        trainer = Trainer(callbacks=[repro.MeasureCallback(images, labels)])

    What is looked at is the module's attribute ``network`` if it is a module, else the LightningModule itself. Loggers
    get the condition numbers' medians and maxima as metrics, W&B tables and charts as well; `table` has everything.
    With several processes each reduces a part of the layers.

    Args:
        images: The probe, as the network reads it.
        labels: The probe's classes; needed for gradients, updates and errors.
        measurements: Names in `repro.measurements.MEASUREMENTS`, for epoch ends and named steps.
        held_out: As many images that are not trained on; needed for amplification.
        every_n_epochs: Measure at the end of every n-th epoch, and of the last.
        every_n_steps: Measurements by name that are also taken after every so many steps.
        at_steps: Measure after these steps as well.
        layers: Layers whose distributions are taken, from 1; negative ones count from the end.
        mode: Normalise by running statistics (``eval``) or by the probe's own (``train``).
        spectra: Keep all singular values, in ``spectra.jsonl`` (`repro.records.spectra`).
        directory: Folder for ``readings.jsonl``, to which everything is appended; None writes no file.

    Raises:
        UserError: For an unknown measurement, or one that lacks what it needs.
    """

    def __init__(
        self,
        images: Float[Tensor, "batch channels height width"],
        labels: Int[Tensor, " batch"] | None = None,
        *,
        measurements: Sequence[str] = DEFAULT,
        held_out: Float[Tensor, "others channels height width"] | None = None,
        every_n_epochs: int = 1,
        every_n_steps: Mapping[str, int] | None = None,
        at_steps: Sequence[int] = (),
        layers: Sequence[int] = CHOSEN,
        mode: str = "eval",
        spectra: bool = False,
        directory: str | Path | None = None,
    ) -> None:
        self.every_n_steps = dict(every_n_steps or {})
        check([*measurements, *self.every_n_steps])
        self.images, self.labels, self.held_out = images, labels, held_out
        self.measurements = tuple(measurements)
        self.every_n_epochs = every_n_epochs
        self.at_steps = frozenset(at_steps)
        self.layers = tuple(layers)
        self.mode = mode
        self.spectra = spectra
        self.directory = None if directory is None else Path(directory)
        self._layers: list[WeightLayer] | None = None  # a network's structure does not change while it trains
        self._tables: list[pd.DataFrame] = []
        self._charts = Charts("network")

    def table(self) -> pd.DataFrame:
        """Everything measured by this process so far: step, epoch, measurement, layer, name, mode, quantity, value."""
        import pandas as pd

        return pd.concat(self._tables, ignore_index=True) if self._tables else table([])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure before the first step; a resumed run has done so already."""
        if trainer.global_step == 0:
            self._measure(trainer, pl_module, [*self.measurements, *self.every_n_steps])

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,  # noqa: ARG002
        batch: object,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Measure at named steps; what is measured at the epoch's end waits for it."""
        step = trainer.global_step
        due = [name for name, n in self.every_n_steps.items() if step % n == 0]
        if batch_idx + 1 >= trainer.num_training_batches and self._due(trainer):
            due = [name for name in due if name not in self.measurements]
        elif step in self.at_steps:
            due = [*self.measurements, *due]
        self._measure(trainer, pl_module, due)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure at the end of every n-th epoch."""
        if self._due(trainer):
            self._measure(trainer, pl_module, self.measurements)

    def _due(self, trainer: Trainer) -> bool:
        epoch = trainer.current_epoch + 1
        return epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs

    def _measure(self, trainer: Trainer, pl_module: LightningModule, names: Sequence[str]) -> None:
        if not names:
            return
        if isinstance(pl_module, NotesDivergence):  # what is measured is the same however soon it would be seen
            pl_module.require_convergence(now=True)
        network = pl_module.network if isinstance(getattr(pl_module, "network", None), nn.Module) else pl_module
        assert isinstance(network, nn.Module)
        device = pl_module.device
        images = self.images.to(device)
        self._layers = self._layers or weight_layers(network, images)
        readings = take(
            network,
            images,
            None if self.labels is None else self.labels.to(device),
            held_out=None if self.held_out is None else self.held_out.to(device),
            optimizer=_optimizer(trainer) if "updates" in names else None,
            measurements=list(dict.fromkeys(names)),
            layers=self.layers,
            mode=self.mode,
            spectra=self.spectra,
            share=Share.of_process_group() if trainer.world_size > 1 else None,
            known=self._layers,
        )
        if trainer.is_global_zero:
            self._record(trainer, readings, trainer.global_step, trainer.current_epoch)

    def _record(self, trainer: Trainer, readings: Sequence[Reading], step: int, epoch: int) -> None:
        takers = [logger for logger in trainer.loggers if isinstance(logger, TakesReadings)]
        for logger in takers:
            logger.log_readings(readings, step=step, epoch=epoch)
        if self.directory is not None:
            self.directory.mkdir(parents=True, exist_ok=True)
            RecordLogger(RunDirectory(self.directory)).log_readings(readings, step=step, epoch=epoch)
        if takers:  # the run directory has everything: nothing is held in memory
            return
        frame = table(readings)
        frame.insert(0, "step", step)
        frame.insert(1, "epoch", epoch)
        self._tables.append(frame)
        for other in trainer.loggers:
            other.log_metrics(summary(frame), step=step)
            if isinstance(other, WandbLogger):
                other.experiment.log({"trainer/global_step": step, **self._charts.content(frame)})


def _optimizer(trainer: Trainer) -> Optimizer | None:
    if len(trainer.optimizers) > 1:
        raise UserError(f"updates are those of one optimiser; this module has {len(trainer.optimizers)}")
    return trainer.optimizers[0] if trainer.optimizers else None
