"""Against dense Hessians, and quadratic losses whose Hessian is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.functional import hessian
from torch.func import functional_call

from repro.errors import UserError
from repro.measurements import Reading, take


def curvature(network: nn.Module, x: Tensor, labels: Any, **options: Any) -> dict[tuple[int, str], Reading]:
    readings = take(network, x, labels, measurements=["curvature"], **options)
    return {(each.layer, each.mode): each for each in readings}


def dense(network: nn.Module, x: Tensor, labels: Tensor) -> tuple[Tensor, list[str]]:
    """The whole Hessian, with the parameter's name of every row."""
    parameters = dict(network.named_parameters())
    sizes = {name: each.numel() for name, each in parameters.items()}

    def loss(flat: Tensor) -> Tensor:
        parts = zip(parameters.items(), flat.split(list(sizes.values())), strict=True)
        own = {name: part.view_as(parameter) for (name, parameter), part in parts}
        return F.cross_entropy(functional_call(network, own, (x,)), labels)

    matrix = hessian(loss, torch.cat([each.detach().flatten() for each in parameters.values()]))
    return matrix, [name for name, size in sizes.items() for _ in range(size)]


def test_small_networks_have_their_dense_hessian_s_eigenvalues_and_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repro.measurements.kinds.curvature.STEPS", 80)
    monkeypatch.setattr("repro.measurements.kinds.curvature.VECTORS", 600)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.BatchNorm1d(12), nn.Linear(12, 4)).double()
    x, labels = torch.randn(16, 1, 4, 4, dtype=torch.float64), torch.arange(16) % 4
    buffers = {name: each.clone() for name, each in network.named_buffers()}
    found = curvature(network, x, labels, layers=[1])
    assert all(torch.equal(each, buffers[name]) for name, each in network.named_buffers())
    matrix, names = dense(network.train(), x, labels)
    values = torch.linalg.eigvalsh(matrix)
    whole = found[0, "whole"].values
    assert whole["parameters"] == len(matrix)
    for name, place in (("largest", -1), ("second", -2), ("smallest", 0)):
        assert whole[name] == pytest.approx(float(values[place]), rel=2e-3, abs=1e-3 * float(values[-1])), name
    assert abs(whole["largest"] - float(values[-1])) <= whole["error"] + 1e-9
    assert abs(whole["trace"] - float(matrix.trace())) < 4 * whole["trace_error"]
    assert whole["trace_error"] < 0.2 * whole["trace"]
    for number, name in ((1, "0."), (2, "4.")):
        rows = [place for place, each in enumerate(names) if each == f"{name}weight"]
        block = matrix[rows][:, rows]
        of_layer = found[number, "layer"].values
        assert of_layer["parameters"] == len(rows)
        assert abs(of_layer["trace"] - float(block.trace())) < 4 * of_layer["trace_error"]
        assert ("largest" in of_layer) == (number == 1)
    rows = [place for place, each in enumerate(names) if each == "0.weight"]
    of_block = torch.linalg.eigvalsh(matrix[rows][:, rows])
    assert found[1, "layer"].values["largest"] == pytest.approx(float(of_block[-1]), rel=2e-3)


def test_a_quadratic_loss_has_the_gram_matrix_of_its_inputs() -> None:
    """½ mean ‖Wx − y‖²: every output's block is XᵀX / N."""
    torch.manual_seed(0)
    network = nn.Linear(5, 2, bias=False)
    x, y = torch.randn(40, 5), torch.randn(40, 2)
    found = curvature(network, x, y, loss=lambda output, target: 0.5 * ((output - target) ** 2).sum(1).mean())
    values = torch.linalg.eigvalsh(x.T.double() @ x.double() / 40)
    whole = found[0, "whole"].values
    assert whole["largest"] == pytest.approx(float(values[-1]), rel=1e-4)
    assert whole["smallest"] == pytest.approx(float(values[0]), rel=1e-3)
    assert abs(whole["trace"] - 2 * float(values.sum())) < 4 * whole["trace_error"]


def test_a_diagonal_hessian_has_its_trace_exactly_and_a_linear_loss_none() -> None:
    network = nn.Linear(3, 3, bias=False)
    found = curvature(network, torch.eye(3), torch.zeros(3), loss=lambda output, _: (output**2).sum())
    assert found[0, "whole"].values["trace"] == pytest.approx(18)
    assert found[0, "whole"].values["trace_error"] == pytest.approx(0, abs=1e-6)
    flat = curvature(network, torch.eye(3), torch.zeros(3), loss=lambda output, _: output.sum())
    assert flat[0, "whole"].values["largest"] == flat[0, "whole"].values["trace"] == 0


def test_generators_stay_and_the_same_comes_twice() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 3))
    x, labels = torch.randn(8, 3, 2, 2), torch.arange(8) % 3
    state = torch.get_rng_state()
    first, second = (curvature(network, x, labels) for _ in range(2))
    assert torch.equal(state, torch.get_rng_state())
    assert first == second


def test_what_has_no_curvature() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    x = torch.randn(8, 3, 2, 2)
    with pytest.raises(UserError, match="pass labels"):
        curvature(network, x, None)
    with torch.no_grad():
        network[1].weight[0, 0] = torch.nan
    assert curvature(network, x, torch.arange(8) % 3)[0, "whole"].values["largest"] != 0  # NaN is not 0
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    with pytest.warns(UserWarning, match="nothing trains in the network"):
        assert not curvature(network, x, torch.arange(8) % 3)
