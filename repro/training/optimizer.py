"""Stochastic gradient descent, as fast as the device has it; its checkpoints do not say how it was computed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import SGD, Optimizer

from repro.config import TrainingConfig


def create_optimizer(parameters: Iterable[nn.Parameter], training: TrainingConfig) -> SGD:
    """SGD over all parameters that train; the learning rate is set at each step.

    On a GPU in one kernel for many parameters (``fused``), whose result differs by rounding. On a CPU as torch does it
    by default: its fused form differs in the last bit there, and would save 0.2 % of a step.

    Args:
        parameters: On the device where they train.
        training: Rates, momentum, penalty.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    fused = all(parameter.device.type == "cuda" for parameter in trained) or None
    rate = training.warmup_learning_rate if training.warmup_steps else training.learning_rate
    optimizer = SGD(
        trained,
        lr=rate,
        momentum=training.momentum,
        weight_decay=training.weight_decay,
        nesterov=training.nesterov,
        fused=fused,
    )

    def plain(_optimizer: Optimizer, state: dict[str, Any]) -> None:
        for group in state["param_groups"]:
            group.update(lr=float(group["lr"]), fused=None)

    def as_built(loaded: Optimizer) -> None:
        for group in loaded.param_groups:
            group.update(lr=rate, fused=fused)  # the rate is set at each step

    optimizer.register_state_dict_post_hook(plain)
    optimizer.register_load_state_dict_post_hook(as_built)
    return optimizer


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate
