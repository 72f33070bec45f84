"""Checkpoints: saved whole or not at all, the newest ones kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from repro.records import RunDirectory
from repro.training.interrupt import Interrupted, StopRequest


class RunCheckpoints(Checkpoint):
    """Saves ``step-00000300.ckpt`` at epoch ends, and when the run is asked to stop.

    As a `Checkpoint` it comes after all other callbacks, so that what they record at an epoch's end is recorded before
    the epoch counts as done.

    Args:
        run: The run's directory.
        every_n_epochs: Save at the end of every n-th epoch, and of the last.
        keep: Newest checkpoints to keep.
        stop: The request to stop, looked at after each batch.
    """

    def __init__(self, run: RunDirectory, *, every_n_epochs: int, keep: int, stop: StopRequest) -> None:
        self.run = run
        self.every_n_epochs = every_n_epochs
        self.keep = keep
        self.stop = stop

    def save(self, trainer: Trainer) -> None:
        """Save under a temporary name, then rename."""
        path = self.run.checkpoints / f"step-{trainer.global_step:08d}.ckpt"
        temporary = path.with_name(f".{path.name}.part")
        trainer.save_checkpoint(temporary)  # all ranks take part; rank 0 writes
        if trainer.is_global_zero:
            temporary.replace(path)
            self.run.delete_checkpoints(self.keep)
            self.run.update_state(step=trainer.global_step, epoch=trainer.current_epoch)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: object,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Stop here if asked to; at the last batch of an epoch, after the epoch's end instead."""
        if batch_idx + 1 < trainer.num_training_batches:
            self._stop_if_asked(trainer, save=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Save if this epoch is due; stop if asked to."""
        epoch = trainer.current_epoch + 1
        due = epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs
        if due:
            self.save(trainer)
        self._stop_if_asked(trainer, save=not due)

    def _stop_if_asked(self, trainer: Trainer, *, save: bool) -> None:
        # Every rank must come to the same decision at the same batch.
        asked = trainer.strategy.reduce_boolean_decision(bool(self.stop), all=False)
        if asked:
            if save:
                self.save(trainer)
            raise Interrupted(f"stopped at step {trainer.global_step}")


def newest(run: RunDirectory) -> Path | None:
    """The newest checkpoint of a run."""
    saved = run.saved_checkpoints()
    return saved[-1] if saved else None
