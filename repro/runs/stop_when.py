"""The callback that ends a run whose rule is fulfilled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from repro.distributed.ranks import Ranks
from repro.figures import RunRecords
from repro.measurements.quantities import so_far
from repro.measurements.stop_rule import StopRule
from repro.records import RunDirectory
from repro.training.measure_callback import MeasureCallback


class StopWhen(Checkpoint):
    """Looks at a rule whenever something was measured, and at epoch ends; ends the training where it is fulfilled.

    It saves nothing: as a `Checkpoint` it comes after the module has recorded an epoch. The training ends as at its
    last step, measured and evaluated. The rule reads the record as anyone could, so that a run that was killed ends at
    the same step.
    """

    def __init__(self, rule: StopRule, run: RunDirectory, measuring: MeasureCallback | None) -> None:
        self.rule, self.run, self.measuring = rule, run, measuring
        self.reason: str | None = None
        """Why the run was ended, once it is."""

    def state_dict(self) -> dict[str, Any]:
        """The reason, for the checkpoint: a run that is killed after its last one must not train on."""
        return {"reason": self.reason}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the reason."""
        self.reason = state_dict["reason"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take no step more if the run was ended before."""
        trainer.should_stop = trainer.should_stop or self.reason is not None

    def on_train_batch_end(self, trainer: Trainer, *_arguments: Any) -> None:
        """Look if something was measured."""
        if self.measuring is not None and self.measuring.took(trainer.global_step):
            self._look(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look, unless the run is at its end anyway."""
        if trainer.current_epoch + 1 < (trainer.max_epochs or 0):
            self._look(trainer)

    def _look(self, trainer: Trainer) -> None:
        if trainer.should_stop:
            return
        reason = self._met(trainer.global_step) if trainer.is_global_zero else None
        (met,) = Ranks.of(trainer).maximum(int(reason is not None))
        if met:
            self.reason = reason or self.rule.text
            trainer.should_stop = True

    def _met(self, step: int) -> str | None:
        records = RunRecords.read(self.run)
        metrics, readings = (table[table["step"] <= step] for table in (records.metrics, records.readings))
        return self.rule.met(so_far(replace(records, metrics=metrics, readings=readings), step))
