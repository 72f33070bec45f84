"""What a network, its loss and its layers keep elsewhere than in buffers is as it was after measuring."""

from __future__ import annotations

import collections
import functools
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import repro
from repro.errors import UserError
from tests.measurements.test_strange_networks import LABELS, ends, sigmas
from tests.measurements.zoo import From, param

X = torch.randn(8, 12, generator=torch.Generator().manual_seed(0))
ALL = ["weights", "representations", "gradients", "updates"]


class Slotted:
    __slots__ = ("count", "rows")

    def __init__(self) -> None:
        self.count, self.rows = 0, [torch.zeros(2)]


def ring(length: int = 1100) -> Any:
    """Objects within objects, deeper than Python calls, and back to the first."""
    first = last = types.SimpleNamespace(count=0, rows=[torch.zeros(2)])
    for _ in range(length):
        last.next = types.SimpleNamespace()
        last = last.next
    last.next = first
    return first


def counted(holder: Any) -> None:
    holder.count += 1
    holder.rows[0] += 1
    holder.rows.append(holder.count)


def normalised(holder: Any) -> None:
    holder[0](X)


HOLDERS: dict[str, tuple[Callable[[], Any], Callable[[Any], None], Callable[[Any], Any]]] = {
    "slots": (Slotted, counted, lambda it: (it.count, str(it.rows))),
    "objects in a ring": (ring, counted, lambda it: (it.count, str(it.rows))),
    "namespace": (lambda: types.SimpleNamespace(count=0, rows=[torch.zeros(2)]), counted, str),
    "counter": (collections.Counter, lambda it: it.update("a"), str),
    "array": (lambda: np.zeros(3), lambda it: it.__iadd__(1), str),
    "objects in tuples": (lambda: (Slotted(),), lambda it: counted(it[0]), lambda it: it[0].count),
    "a layer nobody registered": (
        lambda: [nn.BatchNorm1d(12)],
        normalised,
        lambda it: {key: str(value) for key, value in it[0].state_dict().items()},
    ),
}


@pytest.mark.parametrize("name", list(HOLDERS))
@pytest.mark.parametrize("where", ["network", "loss", "closure", "partial"])
def test_state_of_any_holder_is_put_back(name: str, where: str) -> None:
    make, change, show = HOLDERS[name]
    holder, loss = make(), None
    network = From(lambda self, x: self.layer(x), layer=nn.Linear(12, 5))
    before = show(holder)
    if where == "network":
        network.holder, network.function = (holder,), lambda self, x: (change(self.holder[0]), self.layer(x))[1]
    elif where == "loss":
        loss = From(lambda self, y, labels: (change(self.holder[0]), F.cross_entropy(y, labels))[1], holder=(holder,))
    elif where == "closure":
        loss = lambda y, labels: (change(holder), F.cross_entropy(y, labels))[1]  # noqa: E731
    else:
        loss = functools.partial(lambda it, y, labels: (change(it), F.cross_entropy(y, labels))[1], holder)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    repro.measure(network, X, LABELS, loss=loss, measurements=ALL, optimizer=optimizer)
    assert show(holder) == before
    change(holder)
    assert show(holder) != before


class Merging(nn.Linear):
    """An adapter that is added to the weight in eval mode, as loralib does it."""

    def __init__(self, set_data: bool) -> None:
        super().__init__(12, 5)
        self.a, self.b, self.merged, self.set_data = param(2, 12), param(5, 2), False, set_data

    def train(self, mode: bool = True) -> Merging:
        super().train(mode)
        if self.merged == mode:
            change = (self.b @ self.a).detach() * (-1 if mode else 1)
            if self.set_data:
                self.weight.data = self.weight.data + change
            else:
                self.weight.data += change
            self.merged = not mode
        return self

    def forward(self, x: Tensor) -> Tensor:
        adapted = 0 if self.merged else x @ self.a.T @ self.b.T
        return super().forward(x) + adapted


@pytest.mark.parametrize("set_data", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.filterwarnings("ignore:not measured")
def test_adapters_that_a_mode_merges_are_as_they_were(set_data: bool, training: bool) -> None:
    network = nn.Sequential(Merging(set_data)).train(training)
    layer, place = network[0], network[0].weight.data_ptr()
    before, scores = layer.weight.detach().clone(), network(X)
    merged = before if layer.merged else before + layer.b @ layer.a
    frame = repro.measure(network, X, LABELS, measurements=ALL, optimizer=torch.optim.SGD(network.parameters(), lr=0.1))
    assert sigmas(frame, "weights", "0", "output") == ends(merged)
    assert (layer.merged, layer.training, layer.weight.data_ptr()) == (not training, training, place)
    assert torch.equal(layer.weight, before)
    assert torch.equal(network(X), scores)


@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
def test_embeddings_that_are_shortened_as_they_are_looked_up_are_as_they_were(kind: Any) -> None:
    network = From(lambda self, x: self.head(self.words(x).view(len(x), -1, 12).mean(1)), head=nn.Linear(12, 5))
    network.words = kind(20, 12, max_norm=0.5)
    before, words = network.words.weight.detach().clone(), torch.arange(16).view(4, 4)
    frame = repro.measure(network, words, LABELS[:4], measurements=ALL[1:3])
    assert torch.equal(network.words.weight, before)
    short = before[words] / before[words].norm(dim=-1, keepdim=True) / 2
    assert sigmas(frame, "representations", "head", "matrix") == ends(short.mean(1))
    bare = From(lambda self, x: self.head(F.embedding(x, self.w, max_norm=0.5).mean(1)), w=param(20, 12), head=None)
    bare.head = nn.Linear(12, 5)
    before = bare.w.detach().clone()
    with pytest.raises(UserError, match="overwrites its own parameter 'w'"):
        repro.measure(bare, words)
    assert torch.equal(bare.w, before)
