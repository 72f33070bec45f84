"""How many threads a process computes with: one, unless layers are wide and, for training, more were timed to help."""

from __future__ import annotations

import math
import os
import time
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils.flop_counter import FlopCounterMode

from repro.distributed import slurm
from repro.distributed.processes import is_first_rank
from repro.machine import allowed, prepared, told
from repro.networks.passing import fitted, refusing
from repro.networks.preserve_state import preserve_state
from repro.runs.device_info import device_name
from repro.text import say

WIDE = 1e8
"""Multiply-adds of a layer for a batch, on average, from which threads may share them.

Two threads beside one, on two hyper-threads of one core under a load of 5 from other work: 0.62 to 1.01 times as fast
below 6e7, 1.11 at 7e7, 1.02 to 1.37 from 2e8 on (ResNet-110, ResNeXt-110, CNN13, VGG16, DenseNet121).
"""
GAIN = 1.2
"""How much faster a step has to be with all threads than with one for them to be taken."""
_ROUNDS = 3
_MOST_IMAGES = 256


def is_wide(network: nn.Module, image: Tensor, batch_size: int) -> bool:
    """Whether the layers of a network have so much to do for a batch that threads could share it.

    The image is on the network's device; the network is left as it was.
    """
    image = fitted(network, image)
    with preserve_state(network), FlopCounterMode(display=False) as counter:
        network.eval()
        network(image)
    layers = sum(isinstance(module, _ConvNd | nn.Linear) for module in network.modules())
    return bool(counter.get_total_flops() / 2 * batch_size >= WIDE * max(layers, 1))


def set_threads_to_look(network: nn.Module, image: Tensor, batch_size: int) -> None:
    """Set the number of threads for evaluating and measuring: all for a wide network, else one; nothing is timed.

    Leaves a script's or notebook's threads alone. The image is on the network's device.
    """
    if prepared():
        elsewhere = image.device.type != "cpu"
        with refusing(network, image):
            torch.set_num_threads(allowed() if elsewhere or is_wide(network, image, batch_size) else 1)


class Threads(Callback):
    """Sets the number of threads of a run when its data are there, unless a script or notebook trains it; says it.

    Results depend on the number in their last bits, so that a run that goes on takes the one that it began with:
    `recorded` is that of the run's last session, and the device's name.
    """

    def __init__(self, batch_size: int, recorded: tuple[int, str] | None = None) -> None:
        self.batch_size, self.recorded = batch_size, recorded
        self.facts: dict[str, Any] = {}
        """For the record: the seconds of a step by the number of threads, if they were timed."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Choose, when the training is set up; a wide network is timed."""
        if stage != "fit" or not prepared():
            return
        most = _share(trainer.num_devices)
        if self.recorded is not None and self.recorded[1] == device_name(trainer.strategy.root_device):
            threads = self.recorded[0]
            if threads <= most:
                _set(threads)
                return
            _say(f"note: the run has computed with {threads} threads and may use {most} here, so its last bits differ")
        _set(self._chosen(trainer, pl_module.network, most))  # type: ignore[arg-type]

    def _chosen(self, trainer: Trainer, network: nn.Module, most: int) -> int:
        if trainer.strategy.root_device.type != "cpu":
            return most  # the host measures: threads take layers of their own
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        size = min(self.batch_size, data.samples("train"), _MOST_IMAGES)
        if most == 1 or not is_wide(network, data.probe(1)[0], size):
            return 1
        if trainer.world_size > 1:
            return most
        images, labels = data.probe(size)
        seconds = _timed(network, images, labels, most)
        self.facts = {"step_seconds": {f"{number} threads": round(duration, 5) for number, duration in seconds.items()}}
        return most if seconds[1] >= GAIN * seconds[most] else 1


def _set(threads: int) -> None:
    torch.set_num_threads(threads)
    _say(told(threads))


def _timed(network: nn.Module, images: Tensor, labels: Tensor, most: int) -> dict[int, float]:
    """The least seconds of a step's passes with one thread and with all; the network stays as it was."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    seconds = {1: math.inf, most: math.inf}
    with preserve_state(network), torch.enable_grad():
        for turn in range(_ROUNDS):
            for threads in seconds:
                torch.set_num_threads(threads)
                began = time.perf_counter()
                loss = F.cross_entropy(network(images), labels)
                if loss.requires_grad:
                    torch.autograd.grad(loss, parameters, allow_unused=True)
                if turn:  # the first warms up
                    seconds[threads] = min(seconds[threads], time.perf_counter() - began)
    return seconds


def share_threads(devices: int) -> None:
    """Set the environment so that processes that Lightning starts later use only their part of the threads."""
    if prepared() and (most := _share(devices)) < allowed():
        os.environ["OMP_NUM_THREADS"] = str(most)


def _share(devices: int) -> int:
    """The most threads of each of a machine's processes."""
    begun_here = devices > 1 and slurm.step() is None and is_first_rank()
    return max(1, allowed() // devices) if begun_here else allowed()


@cache
def _say(text: str) -> None:
    """Say something once, however many runs this process trains."""
    if is_first_rank():
        say(text)
