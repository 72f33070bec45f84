"""The learning rate, as a function of the step alone."""

from __future__ import annotations

from repro.config import TrainingConfig


def learning_rate(step: int, steps: int, training: TrainingConfig) -> float:
    """The learning rate of a step: a constant warm-up, then stepwise decay.

    Args:
        step: Steps taken before this one.
        steps: All steps of the run; milestones are shares of it.
        training: Rates, warm-up, milestones.
    """
    if step < training.warmup_steps:
        return training.warmup_learning_rate
    passed = sum(step >= milestone * steps for milestone in training.milestones)
    return training.learning_rate * training.factor**passed
