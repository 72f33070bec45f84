"""What cannot be measured is refused in a line, and what is not seen is said."""

from __future__ import annotations

import copy
import itertools
import warnings
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import repro
from repro.errors import UserError
from repro.measurements import take
from repro.networks import weight_layers
from repro.networks.layers import survey

X = torch.randn(6, 12, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(6) % 5


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 10), nn.Tanh(), nn.Linear(10, 5))


class Ends(nn.Module):
    """A network whose output is what a function makes of the scores."""

    def __init__(self, end: Any) -> None:
        super().__init__()
        self.body, self.end = small(), end

    def forward(self, x: Tensor) -> Any:
        return self.end(self.body(x))


def test_what_was_seen_is_in_the_frame_and_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    class Partly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.scale = nn.Embedding(20, 12), nn.Parameter(torch.ones(6, 12))
            self.used, self.unused = nn.Linear(12, 5), nn.Linear(12, 5)

        def forward(self, words: Tensor) -> Tensor:
            return self.used((self.words(words) * self.scale).mean(1))

    frame = repro.measure(Partly(), torch.randint(20, (4, 6)))
    seen = frame.attrs["seen"]
    assert (seen["matrix_parameters"], seen["seen"]) == (240 + 72 + 60 + 60, 60)
    reasons = {name: reason for reason, names in seen["not_seen"].items() for name in names}
    assert reasons.keys() == {"words.weight", "scale", "unused.weight"}
    assert reasons["words.weight"] == "looked up, not multiplied"
    assert reasons["unused.weight"].startswith("not seen at work in this pass")
    assert capsys.readouterr().err == f"repro: {seen['line']}\n"
    assert seen["line"].startswith("seen: 13.9 % of 432 matrix parameters; not seen: ")


REFUSED = {
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(5)), X, r"lazy modules \('0.weight' has no shape yet\)"),
    "meta": (lambda: small().to("meta"), X, "on the device meta"),
    "no matrix": (lambda: nn.Sequential(nn.LayerNorm(12)), X, "multiplies with no matrix of parameters"),
    "no parameter": (nn.Flatten, X, "multiplies with no matrix of parameters"),
    "shape": (small, X[:, :7], r"refuses the inputs \(float32 \(6, 7\)\) with RuntimeError"),
    "too many": (small, (X, X), r"refuses the inputs \(tuple of float32 \(6, 12\), float32 \(6, 12\)\)"),
    "unknown name": (small, {"pixels": X}, "refuses the inputs .*pixels: float32"),
    "no tensor": (small, "a path", "refuses the inputs"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_cannot_be_measured_is_refused_in_a_line(name: str) -> None:
    make, inputs, message = REFUSED[name]
    network = make()
    with pytest.raises(UserError, match=message):
        take(network, inputs)
    if name == "lazy":
        assert torch.nn.parameter.is_lazy(network[0].weight)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated", "ignore:.*torch.jit.*:DeprecationWarning")
def test_torchscript_is_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torch.jit.script(small())
    with pytest.raises(UserError, match="is TorchScript"):
        take(network, X)


@dataclass
class Answer:
    """What a network may return."""

    first: Tensor
    second: Tensor


NO_LOSS = {
    "tuple": (lambda y: (y, y), {}, "returns tuple of float32 .*pass output="),
    "dataclass": (lambda y: Answer(y, y), {}, "returns Answer with first, second"),
    "image": (lambda y: y.view(6, 5, 1, 1).expand(6, 5, 3, 3), {}, "no cross-entropy fits: .*pass loss="),
    "no such key": (lambda y: {"a": y}, {"output": "b"}, "output='b' is not in what the network returns"),
    "no number": (lambda y: y, {"loss": lambda y, _: y}, "loss= returns float32 .*one number"),
}


@pytest.mark.parametrize("name", list(NO_LOSS))
def test_outputs_that_no_loss_fits_are_told(name: str) -> None:
    end, options, message = NO_LOSS[name]
    with pytest.raises(UserError, match=message):
        take(Ends(end), X, LABELS, measurements=["gradients"], **options)
    assert take(Ends(end), X)  # nothing else needs it


PICKED = {
    "dict": (lambda y: {"a": y, "b": 0 * y}, {"output": "a"}),
    "evident": (lambda y: {"logits": y, "other": 0 * y}, {}),
    "tuple": (lambda y: (0 * y, y), {"output": 1}),
    "dataclass": (lambda y: Answer(y, 0 * y), {"output": "first"}),
    "callable": (lambda y: [y], {"output": lambda out: out[0]}),
    "whole": (lambda y: (y, y), {"loss": lambda out, labels: F.cross_entropy(out[1], labels)}),
    "tokens": (lambda y: y[:, None].expand(6, 3, 5), {"labels": LABELS[:, None].expand(6, 3)}),
    "segmentation": (lambda y: y[:, :, None].expand(6, 5, 3), {"labels": LABELS[:, None].expand(6, 3)}),
}


@pytest.mark.parametrize("name", list(PICKED))
def test_what_is_scored_can_be_picked(name: str) -> None:
    end, options = PICKED[name]
    options = {"labels": LABELS, **options}
    expected = take(small(), X, LABELS, measurements=["gradients"])
    found = take(Ends(end), X, options.pop("labels"), measurements=["gradients"], **options)
    for one, other in zip(found, expected, strict=True):
        assert one.name == f"body.{other.name}"
        assert dict(one.values) == pytest.approx(dict(other.values), rel=1e-4, abs=1e-7)


def test_a_network_with_nan_weights_is_measured() -> None:
    network = small()
    with torch.no_grad():
        network[0].weight[0, 0] = torch.nan
    found = {(each.layer, each.mode): each.values["rank"] for each in take(network, X)}
    assert found[1, "output"] != found[1, "output"]
    assert found[2, "output"] == 5


def test_a_network_that_changes_from_call_to_call_is_told() -> None:
    class Changes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.three = (nn.Linear(12, 12) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            return self.three((self.one if next(calls) % 2 else self.two)(x))

    calls = itertools.count()
    network = Changes()
    with pytest.warns(UserWarning, match="not measured") as told:
        take(network, X, measurements=["representations"])
    said = " ".join(str(each.message) for each in told)
    assert "changes from pass to pass" in said
    assert "one" in said or "two" in said


def test_a_structure_that_has_changed_is_looked_at_anew() -> None:
    network = small()
    known = survey(network, X)
    nn.utils.parametrizations.weight_norm(network[0])
    with torch.no_grad():
        network[0].parametrizations.weight.original0.mul_(1000)
    (first, *_) = take(network, X, measurements=["weights"], known=known)
    largest = torch.linalg.matrix_norm(network[0].weight, 2).item()
    assert first.values["sigma_max"] == pytest.approx(largest, rel=1e-5)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
def test_old_weight_norm_is_not_stale() -> None:
    network = small()
    nn.utils.weight_norm(network[0])
    network(X)
    with torch.no_grad():
        network[0].weight_g[0] *= 1000
    (first, *_) = take(network, X, measurements=["weights"])
    acting = torch._weight_norm(network[0].weight_v, network[0].weight_g, 0)
    assert first.values["sigma_max"] == pytest.approx(torch.linalg.matrix_norm(acting, 2).item(), rel=1e-5)


def test_a_shared_parameter_is_told_once_by_both_names() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 5))
    network[2].weight = network[0].weight
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for name in ("weights", "gradients", "updates"):
        readings = take(network, X, LABELS, optimizer=optimizer, measurements=[name])
        assert [(each.layer, each.name) for each in readings if each.mode == "output"] == [(1, "0 = 2"), (3, "4")]
    F.cross_entropy(network(X), LABELS).backward()
    whole = torch.linalg.matrix_norm(network[0].weight.grad, 2).item()
    (found, *_) = take(network, X, LABELS, measurements=["gradients"])
    assert found.values["sigma_max"] == pytest.approx(whole, rel=1e-5)


def test_each_call_of_a_module_has_readings_of_its_own() -> None:
    torch.manual_seed(0)

    class Reuses(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(48, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.conv(self.conv(x).tanh()).tanh().flatten(1))

    network, images = Reuses(), torch.randn(6, 3, 4, 4)
    names = ["weights", "representations", "outputs", "errors", "distance", "amplification", "distributions"]
    readings = take(network, images, LABELS, held_out=images + 1, measurements=names, layers=[1, 2, 3])
    keys = [(each.measurement, each.layer, each.mode) for each in readings]
    assert len(set(keys)) == len(keys)
    by_key = dict(zip(keys, readings, strict=True))
    hidden = network.conv(images).tanh()
    for measurement, number, tensor in (("representations", 1, hidden), ("outputs", 2, network.conv(hidden))):
        assert by_key[measurement, number, "matrix"].name == "conv#2"
        expected = torch.linalg.matrix_norm(tensor.flatten(1), 2).item()
        assert by_key[measurement, number, "matrix"].values["sigma_max"] == pytest.approx(expected, rel=1e-5)
    assert {layer for measurement, layer, _ in keys if measurement == "errors"} == {1, 2}
    assert ("weights", 2, "output") not in by_key


def test_modes_of_a_transposed_convolution_are_by_meaning() -> None:
    network = nn.Sequential(nn.ConvTranspose2d(3, 4, 2), nn.Flatten(), nn.Linear(4 * 9, 5))
    with torch.no_grad():
        network[0].weight[:, 1] = 0  # an output channel that is dead
    found = {(each.layer, each.mode): each.values for each in take(network, torch.randn(6, 3, 2, 2))}
    assert found[1, "output"]["rank"] == 3
    assert found[1, "input"]["rank"] == 3
    assert found[1, "output"]["condition_number"] == float("inf")
    assert found[1, "input"]["condition_number"] < float("inf")


def test_one_naming_of_axes() -> None:
    network = nn.Sequential(nn.Conv1d(3, 4, 3), nn.Flatten(), nn.Linear(16, 5))
    modes = {(each.measurement, each.mode) for each in take(network, torch.randn(6, 3, 6)) if each.layer <= 1}
    assert {mode for measurement, mode in modes if measurement == "weights"} == {"output", "input", "width"}
    assert ("representations", "width") in modes


def test_samples_lead_inside_attention() -> None:
    """Attention works with the tokens first; its readings are of one row a sample all the same."""
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    tokens = torch.randn(4, 6, 8)
    inputs = {"query": tokens, "key": tokens, "value": tokens}
    readings = {
        (each.layer, each.mode): each.values for each in take(attention, inputs, measurements=["representations"])
    }
    expected = torch.linalg.svdvals(tokens.flatten(1).double())
    assert readings[0, "matrix"]["sigma_max"] == pytest.approx(expected[0].item(), rel=1e-6)
    assert readings[0, "matrix"]["sigma_min"] == pytest.approx(expected[3].item(), rel=1e-6)
    attended = copy.deepcopy(attention)
    attended.out_proj.weight.data, attended.out_proj.bias.data = torch.eye(8), torch.zeros(8)
    read = attended(tokens, tokens, tokens)[0].flatten(1).double()
    assert readings[1, "matrix"]["sigma_max"] == pytest.approx(torch.linalg.svdvals(read)[0].item(), rel=1e-5)


ORDERS = {
    "tokens first": lambda x: x.transpose(0, 1),
    "tokens, then samples": lambda x: x.transpose(0, 1).flatten(0, 1),
    "samples, then tokens": lambda x: x.flatten(0, 1),
    "samples": lambda x: x,
}


@pytest.mark.parametrize("order", list(ORDERS))
@pytest.mark.parametrize("length", [2, 3, 4, 8])
def test_samples_lead_however_they_are_arranged(order: str, length: int) -> None:
    class Arranged(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(ORDERS[order](x))

    x = torch.randn(4, length, 5, generator=torch.Generator().manual_seed(0))
    readings = {each.mode: each.values for each in take(Arranged(), x, measurements=["representations"])}
    expected = torch.linalg.svdvals(x.flatten(1).double())
    assert readings["matrix"]["sigma_max"] == pytest.approx(expected[0].item(), rel=1e-6)
    assert readings["matrix"]["sigma_min"] == pytest.approx(expected[-1].item(), rel=1e-6)


def test_what_only_some_samples_reach_is_told() -> None:
    class Routes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(12, 5), nn.Linear(12, 5)

        def forward(self, x: Tensor) -> Tensor:
            here = torch.arange(len(x)) % 3 == 0
            result = torch.zeros(len(x), 5)
            result[here], result[~here] = self.one(x[here]), self.two(x[~here])
            return result

    with pytest.warns(UserWarning, match="not one row a sample: what is read by one, two"):
        readings = take(Routes(), X, measurements=["representations"])
    assert not readings


def test_updates_of_a_weight_that_is_made_are_the_steps() -> None:
    network = small()
    nn.utils.parametrizations.weight_norm(network[0])
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)
    readings = {
        (each.layer, each.mode): each.values
        for each in take(network, X, LABELS, optimizer=optimizer, measurements=["updates"])
    }
    before = [network[0].weight.detach().clone(), network[2].weight.detach().clone()]
    F.cross_entropy(network(X), LABELS).backward()
    optimizer.step()
    for layer, old, new in zip((1, 2), before, (network[0].weight, network[2].weight), strict=True):
        expected = torch.linalg.svdvals((new - old).double())
        assert readings[layer, "output"]["sigma_max"] == pytest.approx(expected[0].item(), rel=1e-4)


def test_wrappers_leave_no_trace_in_names() -> None:
    network = small()
    expected = [layer.name for layer in weight_layers(network, X)]
    for wrapped in (nn.DataParallel(network), torch.compile(network), torch.compile(nn.DataParallel(network))):
        assert [layer.name for layer in weight_layers(wrapped, X)] == expected
