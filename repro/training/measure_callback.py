"""The callback that looks at the network while it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from torch import nn

from repro.data import ImageData
from repro.distributed.ranks import Ranks
from repro.errors import UserError
from repro.measurements import CHOSEN, DEFAULT, Reading, named, table, take
from repro.measurements.probe import Clip
from repro.measurements.scoring import Loss, Pick
from repro.networks.layers import survey
from repro.networks.nested import mapped
from repro.networks.passing import Inputs
from repro.records import RunDirectory
from repro.text import say
from repro.tracking.charts import Charts, summary
from repro.tracking.record_logger import RecordLogger
from repro.training.subject import clipping_of, clips_itself, loss_of, network_of, optimizer_of

if TYPE_CHECKING:
    import pandas as pd


@runtime_checkable
class TakesReadings(Protocol):
    """A logger that wants readings."""

    def log_readings(self, readings: Sequence[Reading], *, step: int, epoch: int) -> None:
        """Log readings taken after `step` steps."""


@runtime_checkable
class NotesDivergence(Protocol):
    """A module that knows whether its training has diverged."""

    def require_convergence(self, *, now: bool) -> None:
        """Raise if the training has diverged."""


class MeasureCallback(Callback):
    """Measures a network on a fixed probe: before the first step, after epochs, after given steps, and at the end.

    It does not change the training. It works in every Trainer of Lightning:

        images, labels = next(iter(loader))
        trainer = Trainer(callbacks=[repro.MeasureCallback(images, labels)])

    It measures the module's attribute ``network`` if that is a module, or else the LightningModule itself; the argument
    ``network`` selects another part. Loggers get medians and maxima of the condition numbers, and how many are
    infinite; W&B also gets tables and charts. `table` has all numbers. With several processes each measures a part of
    the layers. At the start a line on stderr says which share of the network is measured, and of which loss the
    gradients are.

    Args:
        inputs: The probe, as the network takes it: a tensor, a tuple (by position), a dict (by name). Default: the
            first `probe_size` training images of the trainer's DataModule, if it is one of `repro.data.ImageData`, and
            their labels.
        labels: The classes of the probe, or other targets of the loss. Needed for gradients, updates and errors.
        network: Name of the module's attribute to measure, such as ``generator`` or ``model.encoder``.
        output: The part of the network's output that the loss takes: a key, a position, or a function of the output.
        loss: A function of that output and the labels. Default: the module's own, or else the mean cross-entropy.
        clip: What the training does to gradients before a step; see `repro.measurements.take`. Default: the Trainer's.
        measurements: Names in `repro.measurements.MEASUREMENTS`.
        held_out: The same number of inputs that are not trained on. Needed for amplification.
        every_n_epochs: Measure after every n-th epoch; the end of the training is always measured.
        every_n_steps: Measurements that are also taken every n steps, such as ``{"distributions": 50}``.
        at_steps: Measure after these steps, too; ``log``: after 1, 2, 4, 8 and so on.
        layers: Layers for distributions and curvature, from 1, or from the end if negative.
        mode: Normalise with running statistics (``eval``) or with the probe's own (``train``).
        probe_size: Number of images of the probe, if no inputs are given.
        spectra: Keep all singular values, in ``spectra.jsonl`` (`repro.records.spectra`).
        directory: Folder for ``readings.jsonl``, to which readings are appended. Default: no file is written.

    Raises:
        UserError: A measurement is unknown, or lacks an argument that it needs.

    Example:
        >>> import repro
        >>> watch = MeasureCallback(probe_size=16, measurements=["weights"])
        >>> quiet = {
        ...     "logger": False,
        ...     "enable_checkpointing": False,
        ...     "enable_progress_bar": False,
        ...     "enable_model_summary": False,
        ... }
        >>> trainer = Trainer(
        ...     max_epochs=1, limit_train_batches=1, limit_val_batches=0, accelerator="cpu", callbacks=[watch], **quiet
        ... )
        >>> trainer.fit(repro.ResNet(8, width=4, in_channels=1, image_size=28), datamodule=repro.MNIST5k())
        >>> sorted(set(watch.table()["step"]))
        [0, 1]
    """

    def __init__(
        self,
        inputs: Inputs = None,
        labels: Inputs = None,
        *,
        network: str | None = None,
        output: Pick = None,
        loss: Loss | None = None,
        clip: Clip | None = None,
        measurements: Sequence[str] = DEFAULT,
        held_out: Inputs = None,
        every_n_epochs: int = 1,
        every_n_steps: Mapping[str, int] | None = None,
        at_steps: Sequence[int] | Literal["log"] = (),
        layers: Sequence[int] = CHOSEN,
        mode: str = "eval",
        probe_size: int = 128,
        spectra: bool = False,
        directory: str | Path | None = None,
    ) -> None:
        often = every_n_steps or {}
        self.every_n_steps = dict(zip(named(often), often.values(), strict=True))
        self.inputs, self.labels, self.held_out = inputs, labels, held_out
        self.clip = clip
        self.network, self.output, self.loss = network, output, loss
        self.measurements = named(measurements)
        self.every_n_epochs = every_n_epochs
        self.at_steps = at_steps
        self.layers = tuple(layers)
        self.mode = mode
        self.probe_size = probe_size
        self.spectra = spectra
        self.directory = None if directory is None else Path(directory)
        self._told = ""
        self._sums: list[str] = []  # of the weights that were measured last
        self._step = 0  # the last one after which it was asked whether to measure
        self._epoch = 0  # from 1; 0 before the training
        self._taken: dict[str, int] = {}  # after which step each measurement was taken last
        self._tables: list[pd.DataFrame] = []
        self._charts = Charts("network")

    def took(self, step: int) -> bool:
        """Whether anything was measured after so many steps."""
        return step in self._taken.values()

    def table(self) -> pd.DataFrame:
        """All that this process has measured in the last training: step, epoch, and the columns of `repro.measure`."""
        import pandas as pd

        return pd.concat(self._tables or [_dated(table([]), 0, 0)], ignore_index=True)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the probe from the data, if it was not given."""
        if stage != "fit" or self.inputs is not None:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, ImageData):
            raise UserError(
                f"MeasureCallback has no inputs, and the trainer has {'no' if data is None else 'another kind of'} "
                "DataModule; pass inputs, or give the trainer a repro.data.ImageData"
            )
        self.inputs, self.labels = data.probe(self.probe_size)
        if "amplification" in (*self.measurements, *self.every_n_steps) and self.held_out is None:
            self.held_out = data.held_out_probe(self.probe_size)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure before the first step; a resumed run has done so already."""
        self._step, self._epoch = trainer.global_step, trainer.current_epoch
        if trainer.global_step == 0:
            self._taken, self._tables, self._told = {}, [], ""
            self._measure(trainer, pl_module, [*self.measurements, *self.every_n_steps])

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Measure at named steps; what is measured at the epoch's end waits for it."""
        self._epoch = trainer.current_epoch + 1
        before, step = self._step, trainer.global_step
        if step == before:  # a batch of those whose gradients are added up
            return
        self._step = step
        due = [name for name, n in self.every_n_steps.items() if step // n > before // n]
        if batch_idx + 1 >= trainer.num_training_batches and self._due(trainer):
            due = [name for name in due if name not in self.measurements]
        elif self._named(before, step):
            due = [*self.measurements, *due]
        self._measure(trainer, pl_module, due)

    def _named(self, before: int, step: int) -> bool:
        if self.at_steps == "log":
            return step.bit_length() > before.bit_length()
        return any(before < int(at) <= step for at in self.at_steps)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure at the end of every n-th epoch."""
        if self._due(trainer):
            self._measure(trainer, pl_module, self.measurements)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the network as the training leaves it, however it ended."""
        self._measure(trainer, pl_module, self.measurements)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure anew if weights were changed after that, as callbacks that average them do."""
        step = trainer.global_step
        changed = self.took(step) and _sums(network_of(pl_module, self.network)) != self._sums
        if trainer.strategy.reduce_boolean_decision(changed, all=False):
            self._taken = {}
            self._tables = [
                rows[(rows["step"] != step) | ~rows["measurement"].isin(self.measurements)] for rows in self._tables
            ]
            self._measure(trainer, pl_module, self.measurements)

    def _due(self, trainer: Trainer) -> bool:
        epoch = trainer.current_epoch + 1
        return epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs

    def _measure(self, trainer: Trainer, pl_module: LightningModule, names: Sequence[str]) -> None:
        step = trainer.global_step
        names = [name for name in dict.fromkeys(names) if self._taken.get(name) != step]
        if not names:
            return
        if isinstance(pl_module, NotesDivergence):  # what is measured is the same however soon it would be seen
            pl_module.require_convergence(now=True)
        self._taken |= dict.fromkeys(names, step)
        network = network_of(pl_module, self.network)
        self._sums = _sums(network)
        inputs, labels, held_out = (
            mapped(lambda tensor: tensor.to(pl_module.device), batch)
            for batch in (self.inputs, self.labels, self.held_out)
        )
        loss, whose = (self.loss, "the loss given") if self.loss is not None or labels is None else loss_of(pl_module)
        known = survey(network, inputs)  # anew: what it does with its weights may have changed
        if known.seen.line != self._told:
            self._told = known.seen.line
            of = f"; gradients are of {whose}" if labels is not None else ""
            of += "; updates are without its own clipping" if clips_itself(pl_module) and self.clip is None else ""
            if trainer.is_global_zero:
                say(f"{self._told}{of}")
        readings = take(
            network,
            inputs,
            labels,
            output=self.output,
            loss=loss,
            held_out=held_out,
            optimizer=optimizer_of(trainer, network) if "updates" in names else None,
            clip=self.clip or clipping_of(trainer, pl_module),
            measurements=names,
            layers=self.layers,
            mode=self.mode,
            spectra=self.spectra,
            ranks=Ranks.of_process_group() if trainer.world_size > 1 else None,
            known=known,
        )
        if trainer.is_global_zero:
            self._record(trainer, readings, step, self._epoch if step else 0)

    def _record(self, trainer: Trainer, readings: Sequence[Reading], step: int, epoch: int) -> None:
        takers = [logger for logger in trainer.loggers if isinstance(logger, TakesReadings)]
        for logger in takers:
            logger.log_readings(readings, step=step, epoch=epoch)
        if self.directory is not None:
            self.directory.mkdir(parents=True, exist_ok=True)
            RecordLogger(RunDirectory(self.directory)).log_readings(readings, step=step, epoch=epoch)
        if takers:  # the run directory has everything: nothing is held in memory
            return
        frame = _dated(table(readings), step, epoch)
        self._tables.append(frame)
        for other in trainer.loggers:
            other.log_metrics(summary(frame), step=step)
            if isinstance(other, WandbLogger):
                other.experiment.log({"trainer/global_step": step, **self._charts.content(frame)})


def _dated(frame: pd.DataFrame, step: int, epoch: int) -> pd.DataFrame:
    frame.insert(0, "step", step)
    frame.insert(1, "epoch", epoch)
    return frame


def _sums(network: nn.Module) -> list[str]:
    """Of every parameter and buffer, to see whether it has changed."""
    tensors = [tensor.detach() for tensor in (*network.parameters(), *network.buffers())]
    return [repr(float((tensor.abs() if tensor.is_complex() else tensor).double().sum())) for tensor in tensors]
