"""The optimiser, as fast as the device has it, and its learning rate; checkpoints do not say how it was computed."""

from __future__ import annotations

import math
from typing import Any

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from repro.config import TrainingConfig
from repro.training.muon import MuonWithAdamW, hidden_matrices


def create_optimizer(network: nn.Module, training: TrainingConfig) -> Optimizer:
    """The optimiser of all parameters that train; the learning rate is set at each step.

    On a GPU in one kernel for many parameters (``fused``; not Muon), whose result differs by rounding. On a CPU as
    torch does it by default: its fused form differs in the last bit there, and would save 0.2 % of a step. The network
    is on the device where it trains.
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    fused = all(parameter.device.type == "cuda" for parameter in trained) or None
    rate = training.warmup_learning_rate if training.warmup_steps else training.learning_rate
    shared: dict[str, Any] = {"lr": rate, "weight_decay": training.weight_decay}
    inertia: dict[str, Any] = {"momentum": training.momentum, "nesterov": training.nesterov}
    optimizer: Optimizer
    if training.optimizer == "sgd":
        optimizer = SGD(trained, **shared, **inertia, fused=fused)
    elif training.optimizer == "adamw":
        optimizer = AdamW(trained, **shared, betas=(training.momentum, 0.999), fused=fused)
    else:
        matrices = hidden_matrices(network)
        taken = set(map(id, matrices))
        rest = [parameter for parameter in trained if id(parameter) not in taken]
        optimizer = MuonWithAdamW(matrices, rest, **shared, **inertia)
        optimizer.param_groups[1]["fused"] = fused

    def plain(_optimizer: Optimizer, state: dict[str, Any]) -> None:
        for group in state["param_groups"]:
            group["lr"] = float(group["lr"])
            if "fused" in group:
                group["fused"] = None

    def as_built(loaded: Optimizer) -> None:
        for group in loaded.param_groups:
            group["lr"] = rate  # the rate is set at each step
            if "fused" in group:
                group["fused"] = fused
        for parameter, state in loaded.state.items():
            if fused and "step" in state:  # AdamW's, which torch leaves where a checkpoint that is not fused has it
                state["step"] = state["step"].to(parameter.device)

    optimizer.register_state_dict_post_hook(plain)
    optimizer.register_load_state_dict_post_hook(as_built)
    return optimizer


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def learning_rate(step: int, steps: int, training: TrainingConfig) -> float:
    """The learning rate of the step after so many of all steps: a constant warm-up, then the schedule.

    Milestones are shares of all steps, and the cosine ends with them.
    """
    if step < training.warmup_steps:
        return training.warmup_learning_rate
    if training.schedule == "constant":
        return training.learning_rate
    if training.schedule == "cosine":
        share = (step - training.warmup_steps) / (steps - training.warmup_steps)
        return training.learning_rate * (1 + math.cos(math.pi * share)) / 2
    passed = sum(step >= milestone * steps for milestone in training.milestones)
    return training.learning_rate * training.factor**passed
