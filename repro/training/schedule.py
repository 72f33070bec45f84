"""The learning rate, as a function of the step alone."""

from __future__ import annotations

import math

from repro.config import TrainingConfig


def learning_rate(step: int, steps: int, training: TrainingConfig) -> float:
    """The learning rate of a step: a constant warm-up, then the schedule.

    Args:
        step: Steps taken before this one.
        steps: All steps of the run; milestones are shares of it, and the cosine ends with it.
        training: Rates, warm-up, schedule.
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
