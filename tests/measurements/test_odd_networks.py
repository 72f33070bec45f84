"""Networks whose samples do not lead, that reshape a weight, or that overwrite it: right numbers, or none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import repro
from repro.errors import UserError
from tests.measurements.zoo import From, param

X = torch.randn(4, 12, generator=torch.Generator().manual_seed(0))
TOKENS = torch.randn(4, 6, 12, generator=torch.Generator().manual_seed(0))


def sigmas(frame: pd.DataFrame, measurement: str, name: str, mode: str) -> list[float]:
    rows = frame[(frame["measurement"] == measurement) & (frame["name"] == name) & (frame["mode"] == mode)]
    return [float(rows.loc[rows["quantity"] == key, "value"].iloc[0]) for key in ("sigma_max", "sigma_min")]


def ends(matrix: Tensor) -> Any:
    values = np.linalg.svd(matrix.detach().double().numpy(), compute_uv=False)
    return pytest.approx([values[0], values[-1]], rel=1e-4)


def has(frame: pd.DataFrame, measurement: str) -> bool:
    return bool((frame["measurement"] == measurement).any())


def test_samples_that_come_last_are_rows_all_the_same() -> None:
    network = From(lambda self, x: (self.b @ (self.a @ x.T).relu()).T, a=param(8, 12), b=param(5, 8))
    frame = repro.measure(network, X, measurements=["representations", "outputs"])
    hidden = network.a @ X.T
    for mode in ("matrix", "channel"):
        assert sigmas(frame, "representations", "a", mode) == ends(X)
        assert sigmas(frame, "representations", "b", mode) == ends(hidden.relu())
        assert sigmas(frame, "outputs", "a", mode) == ends(hidden)


def test_channels_that_lead_are_channels() -> None:
    network = From(lambda self, x: torch.einsum("oi,int->ont", self.w, x.permute(2, 0, 1)), w=param(5, 12))
    frame = repro.measure(network, TOKENS, measurements=["representations", "outputs"])
    assert sigmas(frame, "representations", "w", "matrix") == ends(TOKENS.flatten(1))
    assert sigmas(frame, "representations", "w", "channel") == ends(TOKENS.permute(2, 0, 1).flatten(1))
    assert sigmas(frame, "outputs", "w", "matrix") == ends((TOKENS @ network.w.T).flatten(1))


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_a_representation_is_not_what_a_module_continues_at_its_borders(mode: Any) -> None:
    images = torch.randn(4, 3, 8, 8)
    network = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1, padding_mode=mode), nn.Flatten(), nn.Linear(128, 5))
    frame = repro.measure(network, images, torch.arange(4))
    assert sigmas(frame, "representations", "0", "matrix") == ends(images.flatten(1))


def packed(self: Any, x: Tensor) -> Tensor:
    rows = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([6, 3, 2, 1]), batch_first=True)
    return self.head(self.lstm(rows)[1][0][0])


NO_ROWS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "an image by itself": (lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 3)), torch.randn(3, 8, 8)),
    "vmap": (lambda: From(lambda self, x: torch.vmap(self.one)(x), one=nn.Linear(12, 5)), X),
    "learned queries": (
        lambda: From(
            lambda self, x: x[:, :5] + self.one(self.queries).mean(0), one=nn.Linear(12, 5), queries=param(8, 12)
        ),
        X,
    ),
    "a weight made of a learned code": (
        lambda: From(lambda self, x: F.linear(x, self.one(self.z).view(5, 12)), one=nn.Linear(3, 60), z=param(3)),
        X,
    ),
}


@pytest.mark.parametrize("name", list(NO_ROWS))
def test_what_has_no_row_a_sample_is_told_and_not_guessed(name: str) -> None:
    make, inputs = NO_ROWS[name]
    with pytest.warns(UserWarning, match="not one row a sample"):
        frame = repro.measure(make(), inputs, measurements=["weights", "representations", "outputs"])
    assert has(frame, "weights")
    assert not has(frame, "representations")
    assert not has(frame, "outputs")


def test_packed_sequences_of_unequal_lengths_are_told() -> None:
    network = From(packed, lstm=nn.LSTM(12, 6, batch_first=True), head=nn.Linear(6, 5))
    with pytest.warns(UserWarning, match="what is read by lstm.weight_ih_l0"):
        frame = repro.measure(network, TOKENS)
    assert set(frame[frame["measurement"] == "representations"]["name"]) == {"head"}


def test_outputs_whose_axes_are_not_those_of_what_is_read_are_told() -> None:
    experts = From(lambda self, x: (x @ self.w).sum(0), w=param(8, 12, 5))
    turned = From(lambda self, x: torch.einsum("oi,int->nto", self.w, x.permute(2, 0, 1)), w=param(4, 12))
    for network, inputs in ((experts, X), (turned, TOKENS)):
        with pytest.warns(UserWarning, match="what is returned by w"):
            frame = repro.measure(network, inputs, measurements=["representations", "outputs"])
        assert has(frame, "representations")
        assert not has(frame, "outputs")


def test_a_weight_in_another_shape_is_another_matrix() -> None:
    network = From(lambda self, x: F.linear(F.linear(x, self.w), self.w.view(12, 6)), w=param(6, 12))
    frame = repro.measure(network, X, measurements=["weights", "operators"])
    assert sigmas(frame, "operators", "w#2", "circular") == ends(network.w.view(12, 6))
    assert set(frame[frame["measurement"] == "weights"]["layer"]) == {1, 2}


class Changing(nn.Linear):
    def __init__(self, change: Callable[[nn.Parameter], object], *, when_trained: bool) -> None:
        super().__init__(12, 5)
        self.change, self.when_trained = change, when_trained

    def forward(self, x: Tensor) -> Tensor:
        if self.training or not self.when_trained:
            with torch.no_grad():
                self.change(self.weight)
        return super().forward(x)


@pytest.mark.parametrize("when_trained", [False, True])
@pytest.mark.parametrize(
    "change",
    [lambda w: w.copy_(F.normalize(w)), lambda w: w.data.clamp_(-0.05, 0.05), lambda w: w.__setitem__(0, 0.0)],
    ids=["copy_", "data", "item"],
)
def test_a_network_that_overwrites_its_weights_is_refused_and_left_as_it_was(change: Any, when_trained: bool) -> None:
    network = Changing(change, when_trained=when_trained)
    before = network.weight.detach().clone()
    with pytest.raises(UserError, match=r"overwrites its own parameter 'weight'"):
        repro.measure(network, X, torch.arange(4), measurements=["weights", "gradients"])
    assert torch.equal(network.weight, before)


def test_sparse_weights_are_not_seen() -> None:
    network = From(lambda self, x: (self.w @ x.T).T, w=nn.Parameter(torch.eye(12).to_sparse()))
    with pytest.raises(UserError, match=r"not seen: w"):
        repro.measure(network, X)
