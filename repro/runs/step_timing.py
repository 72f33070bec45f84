"""Step times measured for a plan: a few steps of a run that is not made."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from statistics import median
from typing import Any

import torch
from lightning.pytorch import Callback
from torch import Tensor

from repro.config import Config
from repro.errors import UserError
from repro.runs.build import build
from repro.runs.device_info import device_name
from repro.runs.start import resolve
from repro.runs.threads import Threads

_STEPS = 5  # timed; the first, which also warms up, is not


class _Clock(Callback):
    """When each batch ended, the device's work included."""

    def __init__(self) -> None:
        self.training: list[float] = []
        self.evaluation: list[float] = []

    def on_train_start(self, *_: Any, **_keywords: Any) -> None:
        self.training.append(_now())

    on_train_batch_end = on_train_start

    def on_test_start(self, *_: Any, **_keywords: Any) -> None:
        self.evaluation.append(_now())

    on_test_batch_end = on_test_start


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _typical(moments: list[float]) -> float:
    """The median duration of the steps, without the first one."""
    durations = [after - before for before, after in itertools.pairwise(moments)]
    return median(durations[1:] or durations)


def time_run(config: Config, steps: int) -> tuple[float, str, int]:
    """How long each step of a run of `steps` steps takes on this machine.

    Returns seconds of a step, its share of the evaluations included, its measurements not; the device, ``CPU`` or the
    GPU's name; bytes of a checkpoint. `UserError` for a run whose steps cannot be timed alone: random features are
    computed for all images before the first step.
    """
    if config.model.train == "output":
        raise UserError("random features are computed for all images before the first step; run the cell to know")
    config = resolve(config).config
    config = replace(config, training=replace(config.training, max_steps=None))
    clock = _Clock()
    few: dict[str, Any] = {"limit_train_batches": _STEPS + 1, "limit_val_batches": 0, "limit_test_batches": 2}
    experiment = build(config, callbacks=[Threads(int(config.data.batch_size)), clock], max_epochs=1, **few)
    trainer, data = experiment.trainer, experiment.data
    try:
        trainer.fit(experiment.module, datamodule=experiment.datamodule)
        trainer.test(experiment.module, datamodule=experiment.datamodule, verbose=False)
    finally:
        data.teardown("fit")
    size = config.data.evaluation_batch_size
    held_out = sum(-(-data.samples(part) // size) for part in data.evaluated)
    times = config.trainer.max_epochs // config.trainer.evaluate_every_n_epochs + 1
    batches = held_out * times + -(-data.samples("train") // size)  # the training images once, at the end
    evaluating = _typical(clock.evaluation) * batches / steps
    module = experiment.module
    states = [value for state in trainer.optimizers[0].state.values() for value in state.values()]
    stored = [*module.state_dict().values(), *(value for value in states if isinstance(value, Tensor))]
    checkpoint = sum(tensor.numel() * tensor.element_size() for tensor in stored)
    return _typical(clock.training) + evaluating, device_name(trainer.strategy.root_device), checkpoint
