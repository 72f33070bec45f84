"""Weights of which slices act, and weights that do not train: what acts is measured, and the rest is told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import repro
from repro.measurements import take
from repro.networks import survey
from tests.measurements.zoo import From, param

X = torch.randn(8, 12, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(8) % 3


def of(frame: pd.DataFrame, measurement: str, quantity: str = "sigma_max", mode: str = "output") -> dict[str, float]:
    rows = frame[(frame["measurement"] == measurement) & (frame["quantity"] == quantity) & (frame["mode"] == mode)]
    return dict(zip(rows["name"], rows["value"], strict=True))


def largest(matrix: Tensor) -> float:
    return float(np.linalg.svd(matrix.detach().double().numpy(), compute_uv=False)[0])


def test_of_slices_those_that_act_are_measured_by_themselves_and_the_rest_is_told() -> None:
    def forward(self: nn.Module, x: Tensor) -> Tensor:
        hidden = F.linear(x, self.w[:6]).tanh()
        return self.head(hidden + F.linear(x, self.w[6:12]).tanh())

    network = From(forward, w=param(15, 12), head=nn.Linear(6, 3))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    frame = repro.measure(
        network, X, LABELS, measurements=["weights", "gradients", "updates", "operators"], optimizer=optimizer
    )
    F.cross_entropy(network(X), LABELS).backward()
    expected = {"w": slice(0, 6), "w#2": slice(6, 12)}
    for measurement, tensor, scale in (("weights", network.w, 1), ("gradients", network.w.grad, 1)):
        for name, part in expected.items():
            assert of(frame, measurement)[name] == pytest.approx(scale * largest(tensor[part]), rel=1e-6)
            assert of(frame, "updates")[name] == pytest.approx(0.5 * largest(network.w.grad[part]), rel=1e-6)
            assert of(frame, "operators", mode="circular")[name] == pytest.approx(largest(network.w[part]), rel=1e-6)
    seen = frame.attrs["seen"]
    assert (seen["seen"], seen["matrix_parameters"]) == (12 * 12 + 18, 15 * 12 + 18)
    assert "not seen: w (a part of it acts, and this is the rest)" in seen["line"]


def test_a_slice_that_acts_twice_turned_or_not_is_one_weight() -> None:
    def forward(self: nn.Module, x: Tensor) -> Tensor:
        inside = F.linear(x, self.w[:6])
        return self.head(F.linear(inside @ self.w[:6], self.w[:6]))

    network = From(forward, w=param(9, 12), head=nn.Linear(6, 3))
    frame = repro.measure(network, X, LABELS, measurements=["weights", "gradients"])
    assert set(of(frame, "weights")) == {"w", "head"}
    F.cross_entropy(network(X), LABELS).backward()
    assert of(frame, "gradients")["w"] == pytest.approx(largest(network.w.grad[:6]), rel=1e-6), "of all its uses"


@pytest.mark.parametrize(
    ("forward", "acting"),
    [
        (lambda self, x: self.head(F.linear(x, self.w[:4]).tanh() + F.linear(x, self.w[2:6]).tanh()), 6 * 12),
        (lambda self, x: self.head(F.linear(x, self.w[::3][:4])), 4 * 12),
        (lambda self, x: self.head(F.linear(x[:, :5], self.w[:4, :5])), 4 * 5),
        (lambda self, x: self.head(F.linear(x, self.w)[:, :4] + F.linear(x, self.w[:4])), 12 * 12),
        (lambda self, x: self.head(F.linear(x[:, :1].expand(8, 12), self.w[:4, :1].expand(4, 12))), 4),
        (lambda self, x: self.head(F.linear(x[:, :5], self.w.flatten().as_strided((4, 5), (2, 1)))), 3 * 2 + 5),
    ],
    ids=["overlapping", "every third", "a corner", "a whole and a part", "repeated", "windows that overlap"],
)
def test_how_many_numbers_act(forward, acting: int) -> None:  # type: ignore[no-untyped-def]
    seen = survey(From(forward, w=param(12, 12), head=nn.Linear(4, 3)), X).seen
    assert (seen.seen, seen.total) == (acting + 12, 156)
    assert bool(seen.missing) == (acting < 144)


def test_frozen_weights_are_measured_and_said_once_to_have_no_gradient() -> None:
    network = nn.Sequential(nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 3))
    network[0].weight.requires_grad_(requires_grad=False)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    asked = {"measurements": ["weights", "gradients", "updates", "errors"], "optimizer": optimizer}
    frame = repro.measure(network, X, LABELS, **asked)
    assert set(of(frame, "weights")) == {"0", "2"}
    assert set(of(frame, "gradients")) == set(of(frame, "updates")) == {"2"}
    assert frame.attrs["seen"]["frozen"] == ["0.weight"]
    assert frame.attrs["seen"]["line"].endswith("frozen, without gradients and updates: 0.weight")
    with pytest.warns(UserWarning, match="gradients: frozen, .* are the weights of 0$"):  # nothing has said so
        take(network, X, LABELS, **asked)
    known = survey(network, X)
    network[2].weight.requires_grad_(requires_grad=False)
    with pytest.warns(UserWarning, match="gradients: frozen, .* are the weights of 2$"):  # since it was said
        take(network, X, LABELS, **asked, known=known)


def test_nothing_is_said_to_be_frozen_where_all_trains() -> None:
    seen = survey(nn.Sequential(nn.Linear(12, 6)), X).seen
    assert not seen.frozen
    assert "frozen" not in seen.line
