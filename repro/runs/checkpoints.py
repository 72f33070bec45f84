"""When checkpoints are saved, which are kept, and how a run stops."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from repro.config import TrainerConfig
from repro.distributed.ranks import Ranks
from repro.records import RunDirectory
from repro.runs import rng_state as generators
from repro.runs.budget import known_stop
from repro.runs.checkpoint_file import CheckpointFile
from repro.runs.stop import OUT_OF_TIME, TAKEN_OVER, CannotSave, Interrupted, StopRequest
from repro.training.classifier import Classifier
from repro.training.random_features.classifier import OutputClassifier

BEST = "best.ckpt"
_CRITERION = "validation/accuracy"
_SLOWER = 1.5  # than ever so far: what a stop may take


class RunCheckpoints(Checkpoint):
    """Saves ``step-00000300.ckpt`` at epoch ends, by steps and by minutes, and when the run is asked to stop.

    The newest ones are kept, and ``best.ckpt``, of the best validation accuracy at an epoch's end, if there is a
    validation split. As a `Checkpoint` it comes after all other callbacks, so that what they record at an epoch's end
    is recorded before the epoch counts as done. The request to stop is looked at after each batch.
    """

    def __init__(self, run: RunDirectory, intervals: TrainerConfig, *, stop: StopRequest) -> None:
        self.run = run
        self.intervals = intervals
        self.stop = stop
        self.seconds = float(run.state.get("checkpoint_seconds", 0.0))
        self._longest = {"look": 0.0, "save": 0.0} | known_stop(run, here=True)
        self._before = sum(known_stop(run).values())
        self._looked_at = time.monotonic()
        self.best: dict[str, Any] | None = None
        self._generators: list[dict[str, Any]] | None = None
        self._saved_at = time.monotonic()

    # State

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Set the module that a checkpoint's weights have to fit, before one is read."""
        if isinstance(file := trainer.strategy.checkpoint_io, CheckpointFile):
            file.module = pl_module

    def state_dict(self) -> dict[str, Any]:
        """The best epoch so far, for the checkpoint."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the best epoch; link its file again, which a kill right after the checkpoint leaves undone."""
        self.best = state_dict["best"]
        if self.best is not None and (path := self._path(self.best["step"])).exists():
            _link(path, path.with_name(BEST))

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the states of every rank's random generators."""
        checkpoint["generators"] = Ranks.of(trainer).gather(generators.state(trainer.strategy.root_device))

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the states of the random generators until the first batch begins."""
        self._generators = checkpoint.get("generators")

    # When

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to time what comes before the first step, which tells how long measuring takes."""
        self._looked_at = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note how long what came before the first step has taken."""
        features = isinstance(pl_module, OutputClassifier)  # are made here, and only here
        if trainer.global_step == 0 and not features:
            self._look()
        self._saved_at = self._looked_at = time.monotonic()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Restore the random generators only here: making the loaders draws numbers too."""
        if self._generators is not None:
            mine = self._generators[min(trainer.global_rank, len(self._generators) - 1)]
            generators.restore(mine, trainer.strategy.root_device)
            self._generators = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: object, batch_idx: int
    ) -> None:
        """Save if it is time; stop here if asked to. At the last batch of an epoch, after the epoch's end instead."""
        if batch_idx + 1 >= trainer.num_training_batches:
            return
        signal, due = self._asked(trainer)
        self._act(trainer, save=due, signal=signal)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save if this epoch is due or the best; stop if asked to."""
        epoch = trainer.current_epoch + 1
        ends = epoch == trainer.max_epochs or trainer.should_stop
        due = epoch % self.intervals.checkpoint_every_n_epochs == 0 or ends
        best = self._is_best(trainer, pl_module)
        signal, asked = self._asked(trainer)
        self._act(trainer, save=due or best or asked, signal=signal, best=best)

    def on_validation_batch_end(self, trainer: Trainer, *_arguments: Any, **_keywords: Any) -> None:
        """Leave an evaluation that goes on for long after a request to stop."""
        (signal,) = Ranks.of(trainer).maximum(self.stop.signal if self.stop.is_urgent() else 0)
        if signal:
            self._look()  # so that the next life stops, with a checkpoint, before this evaluation
            if trainer.is_global_zero and signal == OUT_OF_TIME:
                self.run.update_state(stop_seconds=self.state_entries["stop_seconds"])
            saved = self.run.saved_checkpoints()
            at = f", the last checkpoint is {saved[-1].name}" if saved else ""
            raise Interrupted(f"stopped while evaluating after step {trainer.global_step}{at}", signal=signal)

    on_test_batch_end = on_validation_batch_end

    def _look(self) -> None:
        """Note the longest time between two looks for a request to stop: a step, a measurement, an epoch's end."""
        now = time.monotonic()
        self._longest["look"] = max(self._longest["look"], now - self._looked_at)
        self._looked_at = now
        self.stop.notice = _SLOWER * max(self._before, sum(self._longest.values()))

    def _asked(self, trainer: Trainer) -> tuple[int, bool]:
        """The signal that any rank has heard, and whether it, the clock or the step asks for a checkpoint."""
        self._look()
        n = self.intervals.checkpoint_every_n_steps
        signal, late = Ranks.of(trainer).maximum(self.stop.signal, int(self._is_late()))
        return signal, bool(signal or late) or (n is not None and trainer.global_step % n == 0)

    def _is_late(self) -> bool:
        minutes = self.intervals.checkpoint_every_n_minutes
        return minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes

    def _is_best(self, trainer: Trainer, pl_module: LightningModule) -> bool:
        value = pl_module.latest.get(_CRITERION) if isinstance(pl_module, Classifier) else None
        evaluated = (trainer.current_epoch + 1) % self.intervals.evaluate_every_n_epochs == 0
        if value is None or not evaluated or (self.best is not None and value <= self.best["validation_accuracy"]):
            return False
        self.best = {"step": trainer.global_step, "epoch": trainer.current_epoch + 1, "validation_accuracy": value}
        return True

    # What

    def _path(self, step: int) -> Path:
        return self.run.checkpoints / f"step-{step:08d}.ckpt"

    @property
    def state_entries(self) -> dict[str, Any]:
        """Entries of the run's state: seconds spent saving, what a stop may take, and the best epoch, if any."""
        longest = {name: round(seconds, 3) for name, seconds in self._longest.items()}
        times = {"checkpoint_seconds": round(self.seconds, 3), "stop_seconds": longest}
        return times | ({"best": self.best} if self.best is not None else {})

    def _act(self, trainer: Trainer, *, save: bool, signal: int, best: bool = False) -> None:
        if signal == TAKEN_OVER:
            raise Interrupted("another start has taken this run over; this one leaves it alone", signal=signal)
        if save:
            self.save(trainer, best=best)
        if signal:
            raise Interrupted(f"stopped at step {trainer.global_step}, checkpoint saved", signal=signal)

    def save(self, trainer: Trainer, *, best: bool = False) -> None:
        """Save a checkpoint, on all ranks at once; rank 0 writes. `CannotSave` if the disk is full or refuses."""
        began = time.monotonic()
        path = self._path(trainer.global_step)
        trainer.save_checkpoint(path)
        file = trainer.strategy.checkpoint_io
        assert isinstance(file, CheckpointFile)
        (failed,) = Ranks.of(trainer).maximum(int(file.error is not None))
        if failed:
            raise CannotSave(self._why(path, file.error))
        if trainer.is_global_zero:
            if best:
                _link(path, path.with_name(BEST))
            self.run.delete_checkpoints(self.intervals.keep_checkpoints)
            spent = time.monotonic() - began
            self.seconds += spent
            self._longest["save"] = max(self._longest["save"], spent)
            self.run.update_state(step=trainer.global_step, epoch=trainer.current_epoch, **self.state_entries)
        self._saved_at = self._looked_at = time.monotonic()

    def _why(self, path: Path, error: OSError | None) -> str:
        reason = "rank 0 could not write" if error is None else error.strerror
        saved = self.run.saved_checkpoints()
        earlier = f"{saved[-1].name} is there" if saved else "there is none yet"
        return f"cannot save checkpoint '{path}': {reason}; {earlier}: make room, and the same command continues"


def _link(path: Path, target: Path) -> None:
    """Make `target` the same file, without a second copy where the file system can."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
    except OSError:
        shutil.copyfile(path, temporary)
    temporary.replace(target)


def sweep(run: RunDirectory) -> None:
    """Delete what writers that were killed have left behind, before anything is written."""
    for part in run.checkpoints.glob(".*.part"):
        with contextlib.suppress(OSError):
            part.unlink()
