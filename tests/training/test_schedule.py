from __future__ import annotations

import pytest
import torch

from repro.config import TrainingConfig
from repro.training.optimizer import learning_rate


def test_warm_up_then_steps_down_at_the_milestones() -> None:
    training = TrainingConfig(warmup_steps=10, warmup_learning_rate=0.01, learning_rate=0.1, milestones=(0.5, 0.75))
    rates = [learning_rate(step, 100, training) for step in range(100)]
    assert rates == pytest.approx([0.01] * 10 + [0.1] * 40 + [0.01] * 25 + [0.001] * 25)


def test_without_warm_up_it_is_torchs_multi_step_rule() -> None:
    training = TrainingConfig(warmup_steps=0, learning_rate=0.3, milestones=(0.2, 0.6, 0.9), factor=0.5)
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    reference = torch.optim.lr_scheduler.MultiStepLR(optimiser, [10, 30, 45], gamma=0.5)
    for step in range(50):
        assert learning_rate(step, 50, training) == pytest.approx(reference.get_last_lr()[0])
        optimiser.step()
        reference.step()


def test_the_cosine_is_torchs_after_the_warm_up() -> None:
    training = TrainingConfig(warmup_steps=7, warmup_learning_rate=0.02, learning_rate=0.3, schedule="cosine")
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=43)
    assert [learning_rate(step, 50, training) for step in range(7)] == [0.02] * 7
    for step in range(7, 50):
        assert learning_rate(step, 50, training) == pytest.approx(reference.get_last_lr()[0])
        optimiser.step()
        reference.step()


def test_a_constant_rate_passes_the_milestones() -> None:
    training = TrainingConfig(warmup_steps=2, learning_rate=0.3, schedule="constant")
    assert [learning_rate(step, 10, training) for step in range(10)] == [0.01] * 2 + [0.3] * 8
