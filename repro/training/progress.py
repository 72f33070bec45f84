"""How a run shows that it goes on."""

from __future__ import annotations

import sys
import time
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from tqdm import tqdm

from repro.training.classifier import Classifier


def _shown(metrics: dict[str, float]) -> dict[str, str]:
    shown = {}
    for key, name in (("step/cross_entropy", "loss"), ("train/accuracy", "running train"), ("test/accuracy", "test")):
        if key in metrics:
            shown[name] = f"{metrics[key]:.3g}" if name == "loss" else f"{100 * metrics[key]:.1f}%"
    return shown


def _steps(trainer: Trainer, module: LightningModule) -> int:
    """Steps of the whole run."""
    most = module.training_config.max_steps if isinstance(module, Classifier) else None
    steps = int(trainer.estimated_stepping_batches)
    return min(steps, most or steps)


class Progress(Callback):
    """One bar over the whole run with the time that remains, or one line an epoch (``auto``: the bar on a terminal)."""

    def __init__(self, label: str, style: Literal["auto", "bar", "lines", "none"]) -> None:
        self.label = label
        self.style = style if style != "auto" else "bar" if sys.stderr.isatty() else "lines"
        self._bar: tqdm | None = None
        self._started = 0.0
        self._first_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar at the step where the run goes on."""
        self._started = time.perf_counter()
        self._first_step = trainer.global_step
        if self.style == "bar" and trainer.is_global_zero:
            self._bar = tqdm(
                total=_steps(trainer, pl_module),
                initial=trainer.global_step,
                desc=self.label,
                unit="step",
                mininterval=0.5,
                dynamic_ncols=True,
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar; no value is fetched from the device for it."""
        if self._bar is not None:
            self._bar.update(trainer.global_step - self._bar.n)
            if isinstance(pl_module, Classifier):
                self._bar.set_postfix(_shown(pl_module.latest), refresh=False)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the line of the epoch before, whose means the module records after its callbacks have been called."""
        if trainer.global_step > self._first_step:
            self._write_line(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the last epoch's line."""
        self._write_line(trainer, pl_module)

    def _write_line(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.style != "lines" or not trainer.is_global_zero or not isinstance(pl_module, Classifier):
            return
        total = _steps(trainer, pl_module)
        seconds = (time.perf_counter() - self._started) / max(trainer.global_step - self._first_step, 1)
        remaining = seconds * (total - trainer.global_step) / 60
        numbers = "  ".join(f"{name} {value}" for name, value in _shown(pl_module.latest).items())
        line = f"{self.label}: epoch {trainer.current_epoch}/{trainer.max_epochs}, step {trainer.global_step}/{total}"
        print(f"{line}  {numbers}  {seconds:.3g} s/step, {remaining:.1f} min left", file=sys.stderr, flush=True)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
