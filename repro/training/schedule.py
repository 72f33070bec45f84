"""The learning rate, as a function of the step alone."""

from __future__ import annotations

import math

from repro.config import TrainingConfig


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
