"""Updates are what the optimiser's real next step changes; or what is not in them is said."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from timm.optim import Lamb
from torch import Tensor, nn

import repro
from tests.measurements.test_strange_networks import LABELS, X, ends, has, sigmas
from tests.measurements.zoo import From, param

SGD = torch.optim.SGD


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 5))


def steep(scores: Tensor, labels: Tensor) -> Tensor:
    return 100 * F.cross_entropy(scores, labels)


class Own(nn.Module):
    """A loss with weights of its own, as ArcFace's."""

    def __init__(self) -> None:
        super().__init__()
        self.centres = param(5, 5)

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        return steep(scores @ self.centres, labels)


def by_norm(parameters: Any) -> Any:
    return nn.utils.clip_grad_norm_(parameters, 0.3)


def by_value(parameters: Any) -> None:
    nn.utils.clip_grad_value_(parameters, 0.1)


OPTIMISERS: dict[str, tuple[Callable[[Any], torch.optim.Optimizer], Any, Any]] = {
    "one norm of all gradients": (lambda p: Lamb(p, lr=0.1, weight_decay=0.01), steep, None),
    "also of the loss's": (lambda p: Lamb(p, lr=0.1, weight_decay=0.01), Own(), None),
    "clipped by norm": (lambda p: SGD(p, lr=0.1, momentum=0.9), steep, by_norm),
    "clipped by norm with the loss's": (lambda p: SGD(p, lr=0.1), Own(), by_norm),
    "clipped by value": (lambda p: torch.optim.Adagrad(p, lr=0.1), steep, by_value),
    "turned about": (lambda p: SGD(p, lr=0.1, maximize=True, nesterov=True, momentum=0.9), steep, None),
}


@pytest.mark.parametrize("name", list(OPTIMISERS))
def test_updates_are_the_next_step_s(name: str) -> None:
    make, loss, clip = OPTIMISERS[name]
    network, loss = small(), copy.deepcopy(loss)
    own = [*network.parameters(), *(loss.parameters() if isinstance(loss, nn.Module) else [])]
    optimizer = make(own)

    def step() -> None:
        optimizer.zero_grad()
        loss(network(X), LABELS).backward()
        if clip is not None:
            clip(own)
        optimizer.step()

    step()
    frame = repro.measure(network, X, LABELS, loss=loss, optimizer=optimizer, clip=clip, measurements=["updates"])
    before = [network[n].weight.detach().clone() for n in (0, 2)]
    step()
    for number, old in zip((0, 2), before, strict=True):
        assert sigmas(frame, "updates", str(number), "output")[0] == pytest.approx(
            float(torch.linalg.matrix_norm(network[number].weight.detach() - old, 2)), rel=1e-4
        )


def test_sparse_and_complex_parameters_step_along() -> None:
    network = From(lambda self, x: self.head(self.words(x).mean(1)) * self.turn.abs(), head=nn.Linear(12, 5))
    network.words, network.turn = nn.Embedding(20, 12, sparse=True), nn.Parameter(torch.randn(5, dtype=torch.cfloat))
    words, optimizer = torch.arange(16).view(8, 2), SGD(network.parameters(), lr=0.1)
    frame = repro.measure(network, words, LABELS, optimizer=optimizer, measurements=["updates"])
    F.cross_entropy(network(words), LABELS).backward()
    assert sigmas(frame, "updates", "head", "output") == ends(0.1 * network.head.weight.grad)


def replaced(network: Any, optimizer: Any) -> None:
    step = optimizer.step
    optimizer.step = lambda closure=None: (by_norm(network.parameters()), step(closure))[1]


def accumulated(network: Any, optimizer: Any) -> None:
    for each in network.parameters():
        each.register_post_accumulate_grad_hook(lambda parameter: parameter.grad.mul_(0.1) and None)


HOOKS: dict[str, Callable[[Any, Any], object]] = {
    "before": lambda network, optimizer: optimizer.register_step_pre_hook(lambda *_: None),
    "after": lambda network, optimizer: optimizer.register_step_post_hook(lambda *_: None),
    "replaced": replaced,
    "accumulated": accumulated,
}


@pytest.mark.parametrize("hook", list(HOOKS))
def test_what_is_done_to_steps_by_hooks_is_told(hook: str) -> None:
    network = small()
    optimizer = SGD(network.parameters(), lr=0.1)
    torch.optim.lr_scheduler.StepLR(optimizer, 3)  # counts the steps, no more
    repro.measure(network, X, LABELS, optimizer=optimizer, measurements=["updates"])
    HOOKS[hook](network, optimizer)
    with pytest.warns(UserWarning, match="what hooks or a replaced step do .* in the updates of 0, 2"):
        repro.measure(network, X, LABELS, optimizer=optimizer, measurements=["updates"])


def test_parameters_in_one_memory_have_updates_only_where_they_do_not_overlap() -> None:
    network = From(lambda self, x: F.linear(F.linear(x, self.a).tanh(), self.b), a=None, b=None)
    network.a = param(5, 12)
    network.b = nn.Parameter(network.a.data.T)
    options: Any = {"loss": lambda y, _: y.square().mean(), "measurements": ["gradients", "updates"]}
    with pytest.warns(UserWarning, match="another parameter lies in the same memory as the weights of a, b"):
        frame = repro.measure(network, X, optimizer=SGD(network.parameters(), lr=0.1), **options)
    assert has(frame, "gradients", "a")
    assert not has(frame, "updates", "a")
    flat = torch.randn(2, 60) / 3
    network.a, network.b = nn.Parameter(flat[0].view(5, 12)), nn.Parameter(flat[1].view(12, 5))
    frame = repro.measure(network, X, optimizer=SGD(network.parameters(), lr=0.1), **options)
    assert has(frame, "updates", "a")
    assert has(frame, "updates", "b")
