"""What a stranger's network may do with its weights, its inputs and itself: right numbers, or a word."""

from __future__ import annotations

import collections
import copy
import random
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, rnn

import repro
from repro.errors import UserError
from repro.measurements import take
from repro.networks import create_network, survey
from repro.networks.passing import samples
from tests.measurements.zoo import From, param

SOURCE = torch.Generator().manual_seed(0)
X = torch.randn(8, 12, generator=SOURCE)
TOKENS = torch.randn(4, 6, 12, generator=SOURCE)
IMAGES = torch.randn(4, 3, 8, 8, generator=SOURCE)
LABELS = torch.arange(8) % 5


def ends(matrix: Tensor) -> Any:
    values = np.linalg.svd(matrix.detach().double().numpy(), compute_uv=False)
    return pytest.approx([values[0], values[-1]], rel=1e-4, abs=1e-6)


def sigmas(frame: pd.DataFrame, measurement: str, name: str, mode: str) -> list[float]:
    rows = frame[(frame["measurement"] == measurement) & (frame["name"] == name) & (frame["mode"] == mode)]
    return [float(rows.loc[rows["quantity"] == key, "value"].iloc[0]) for key in ("sigma_max", "sigma_min")]


def has(frame: pd.DataFrame, measurement: str, name: str) -> bool:
    return bool(((frame["measurement"] == measurement) & (frame["name"] == name)).any())


def seen(network: nn.Module, inputs: Any = X) -> dict[str, Any]:
    return survey(network, inputs).seen.as_dict()


ACTING: dict[str, tuple[Callable[[Any, Tensor], Tensor], tuple[int, ...]]] = {
    "matmul by name": (lambda self, x: torch.matmul(other=self.w, input=x), (12, 5)),
    "addmm by name": (lambda self, x: torch.addmm(torch.zeros(5), mat2=self.w, mat1=x), (12, 5)),
    "inner": (lambda self, x: torch.inner(x, self.w), (5, 12)),
    "mv": (lambda self, x: torch.stack([self.w.mv(row) for row in x[:1]]).expand(len(x), 5) + 0 * x[:, :5], (5, 12)),
    "linear, turned": (lambda self, x: F.linear(self.w, x).T, (5, 12)),
    "aten": (lambda self, x: torch.ops.aten.mm.default(x, self.w), (12, 5)),
    "type_as": (lambda self, x: F.linear(x.double(), self.w.type_as(x.double())), (5, 12)),
    "like": (lambda self, x: F.linear(x, self.w * torch.ones_like(x[0])), (5, 12)),
    "new": (lambda self, x: F.linear(x, self.w + x.new_zeros(12)), (5, 12)),
    "for every sample": (lambda self, x: torch.bmm(x[:, None], self.w.repeat(len(x), 1, 1))[:, 0], (12, 5)),
    "made, for every sample": (lambda self, x: (x[:, None] @ (self.w + 0).expand(len(x), 12, 5))[:, 0], (12, 5)),
    "stacked": (lambda self, x: torch.bmm(x[:, None], torch.stack([self.w for _ in x]))[:, 0], (12, 5)),
}


@pytest.mark.parametrize("name", list(ACTING))
@pytest.mark.parametrize("by_name", [False, True], ids=["one sample", "all samples"])
def test_a_weight_is_seen_however_it_is_called(name: str, by_name: bool) -> None:
    forward, shape = ACTING[name]
    network = From(forward, w=param(*shape))
    inputs = {"x": X} if by_name else X
    frame = repro.measure(network, inputs, LABELS, measurements=["weights", "gradients"])
    F.cross_entropy(network(X).float(), LABELS).backward()
    for mode in ("output", "input"):
        assert sigmas(frame, "weights", "w", mode) == ends(network.w)
    first = frame[frame["measurement"] == "weights"]["mode"].iloc[0]
    assert first == ("output" if shape == (5, 12) else "input"), "axes by their meaning"
    assert sigmas(frame, "gradients", "w", "output") == ends(network.w.grad)
    assert frame.attrs["seen"]["not_seen"] == {}


UNSEEN = {
    "a sum of its own": (lambda self, x: torch.einsum("ni,oij->no", x, self.w), (5, 12, 3)),
    "its diagonal": (lambda self, x: torch.einsum("ni,ii->n", x, self.w)[:, None], (12, 12)),
    "complex": (lambda self, x: (x.cfloat() @ torch.view_as_complex(self.w)).abs(), (12, 5, 2)),
    "complex, convolved": (
        lambda self, x: F.conv1d(x.cfloat()[:, None], torch.view_as_complex(self.w)).abs().flatten(1),
        (5, 1, 3, 2),
    ),
}


@pytest.mark.parametrize("name", list(UNSEEN))
def test_what_acts_by_a_part_or_is_complex_is_not_seen(name: str) -> None:
    forward, shape = UNSEEN[name]
    with pytest.raises(UserError, match=r"not seen: w \(no real weight of a product"):
        repro.measure(From(forward, w=param(*shape)), X, measurements=["weights", "operators"])


def test_the_rest_of_a_network_with_complex_weights_is_measured() -> None:
    network = From(lambda self, x: self.head((x.cfloat() @ self.w).abs()), w=None, head=nn.Linear(5, 5))
    network.w = nn.Parameter(torch.randn(12, 5, dtype=torch.cfloat))
    frame = repro.measure(network, X, LABELS, measurements=["representations", "operators", "gradients"])
    assert set(frame["name"]) == {"head"}
    assert list(frame.attrs["seen"]["not_seen"].values()) == [["w"]]
    with pytest.raises(UserError, match="curvature is of real parameters"):
        repro.measure(network, X, LABELS, measurements=["curvature"])
    real = From(lambda self, x: F.linear(x, self.w.real) + F.linear(x, self.w.imag), w=None)
    real.w = nn.Parameter(torch.randn(5, 12, dtype=torch.cfloat))
    frame = repro.measure(real, X, LABELS, measurements=["weights", "gradients"])
    F.cross_entropy(real(X), LABELS).backward()
    assert sigmas(frame, "weights", "w", "output") == ends(real.w.real)
    assert sigmas(frame, "weights", "w#2", "output") == ends(real.w.imag)
    assert sigmas(frame, "gradients", "w#2", "output") == ends(real.w.grad.imag)


def test_a_weight_that_is_filled_in_block_by_block_is_made_of_all_of_them() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        weight = torch.zeros(5, 12)
        weight[:2, :6].copy_(self.a)
        weight[2:, 6:].add_(self.b)
        return F.linear(x, weight)

    network = From(forward, a=param(2, 6), b=param(3, 6))
    frame = repro.measure(network, X, LABELS, measurements=["weights", "gradients"])
    assert sigmas(frame, "weights", "b", "output") == ends(torch.block_diag(network.a, network.b))
    assert (frame.attrs["seen"]["not_seen"], frame.attrs["seen"]["not_parameters"]) == ({}, [])
    put = From(lambda self, x: self.layer(self.joined(x)), layer=nn.Linear(12, 5), token=param(12))
    put.joined = lambda x: (rows := torch.zeros(len(x), 7, 12), rows[:, 0].copy_(put.token), rows[:, 1:].copy_(x))[0]
    frame = repro.measure(put, TOKENS, measurements=["representations"])
    assert sigmas(frame, "representations", "layer", "matrix") == ends(put.joined(TOKENS).flatten(1))


def test_names_are_the_parameters_own() -> None:
    parts = {name: param(6, 12) for name in ("w_g", "w_v", "w_orig", "w")}
    network = From(lambda self, x: sum(F.linear(x, getattr(self, name)) for name in parts), **parts)
    frame = repro.measure(network, X, measurements=["weights"])
    for name, weight in parts.items():
        assert sigmas(frame, "weights", name, "output") == ends(weight)
    tied = From(lambda self, x: F.linear(x, self.a + self.b), a=param(5, 12), b=param(5, 12))
    assert {survey(copy.deepcopy(tied), X).layers[0].name for _ in range(8)} == {"a"}, "of two as large the first"


def quantised() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(12, 12)), {nn.Linear})


HIDDEN = [nn.Linear(12, 12)]
FOREIGN: dict[str, tuple[Callable[[Any, Tensor], Tensor], str]] = {
    "buffer": (lambda self, x: self.own(F.linear(x, self.fixed)), "fixed"),
    "tensor": (lambda self, x: self.own(F.linear(x, self.held[0])), "weights in the network itself"),
    "of a layer nobody registered": (lambda self, x: self.own(HIDDEN[0](x)), "weights in the network itself"),
    "of a copy": (lambda self, x: self.own(copy.deepcopy(self.own)(x)), "weights in the network itself"),
    "quantised": (lambda self, x: self.own(self.packed(x)), "weights in packed.0"),
}


@pytest.mark.parametrize("name", list(FOREIGN))
@pytest.mark.filterwarnings("ignore:.*quantization", "ignore:.*TypedStorage")
def test_weights_that_are_no_parameters_are_told_and_not_taken_for_others(name: str) -> None:
    forward, told = FOREIGN[name]
    network = From(forward, own=nn.Linear(12, 12), packed=quantised(), held=[torch.randn(12, 12)])
    network.register_buffer("fixed", torch.randn(12, 12))
    frame = repro.measure(network, X, measurements=["weights"])
    assert set(frame["name"]) == {"own"}
    assert sigmas(frame, "weights", "own", "output") == ends(network.own.weight)
    assert frame.attrs["seen"]["not_parameters"] == [told]
    assert f"; act, but are no parameters: {told}" in frame.attrs["seen"]["line"]


def test_weights_that_are_made_of_the_data_are_told() -> None:
    network = From(lambda self, x: F.linear(x, self.make(x.mean(0)).view(5, 12)), make=nn.Linear(12, 60))
    found = seen(network)
    assert found["made_of_data"] == ["the network itself"]
    assert found["line"].endswith("; act, but are made of the data: weights in the network itself")


class Keeps(nn.Module):
    """A network that remembers: what it has seen, how often it was called, numbers that it drew."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 12)
        self.hidden, self.kept, self.calls, self.log = torch.zeros(12), torch.zeros(3), 0, [1]
        self.cache: dict[str, Any] = {"kept": [torch.zeros(2)]}
        self.generator = torch.Generator().manual_seed(1)
        self.python, self.numpy = random.Random(1), np.random.default_rng(1)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.log.append(self.calls)
        self.kept += 1
        self.cache["kept"][0] += 1
        self.cache[f"{self.calls}"] = x
        self.made = x
        noise = torch.rand(12, generator=self.generator) + self.python.random() + float(self.numpy.random())
        self.hidden = self.layer(x + self.hidden + noise).detach().mean(0)
        return self.layer(x + self.hidden)


def test_what_a_network_keeps_is_put_back_and_every_pass_begins_alike() -> None:
    torch.manual_seed(0)
    network, twin = Keeps(), Keeps()
    twin.load_state_dict(network.state_dict())
    names = ["weights", "representations", "outputs", "gradients", "curvature", "amplification"]
    frame = repro.measure(network, X, LABELS, measurements=names, held_out=X + 1)
    assert (network.calls, network.log, list(network.cache)) == (0, [1], ["kept"])
    assert not hasattr(network, "made")
    assert not any(part.any() for part in (network.hidden, network.kept, network.cache["kept"][0]))
    assert torch.equal(network(X), twin(X)), "its generators are where they were"
    reads: list[Tensor] = []
    third = Keeps()
    third.load_state_dict(network.state_dict())
    third.layer.register_forward_pre_hook(lambda _, args: reads.append(args[0]))
    third(X)
    for name, read in zip(("layer", "layer#2"), reads, strict=True):
        assert sigmas(frame, "representations", name, "matrix") == ends(read)


class Overwrites(nn.Module):
    """A network that changes its own weight in a pass."""

    def __init__(self, change: Callable[[nn.Linear], None]) -> None:
        super().__init__()
        self.layer, self.change = nn.Linear(12, 5), change

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.change(self.layer)
        return self.layer(x)


def set_data(layer: nn.Linear) -> None:
    layer.weight.data = layer.weight.data.clamp(-0.1, 0.1)


def foreach(layer: nn.Linear) -> None:
    torch._foreach_mul_([layer.weight, layer.bias], 0.9)


def optimise(layer: nn.Linear) -> None:
    layer.weight.grad = torch.ones_like(layer.weight)
    torch.optim.SGD([layer.weight], lr=0.1).step()


def replace(layer: nn.Linear) -> None:
    layer.weight = nn.Parameter(layer.weight * 0.9)


@pytest.mark.parametrize("change", [set_data, foreach, optimise])
def test_a_network_that_changes_its_own_weights_is_refused_and_left(change: Callable[[nn.Linear], None]) -> None:
    network = Overwrites(change)
    parameter, before = network.layer.weight, network.layer.weight.detach().clone()
    with pytest.raises(UserError, match="overwrites its own parameter 'layer.weight'"):
        repro.measure(network, X, measurements=["weights"])
    assert network.layer.weight is parameter
    assert torch.equal(parameter, before)


def test_a_network_that_puts_another_parameter_in_place_is_left_with_its_own() -> None:
    network = Overwrites(replace)
    parameter, before = network.layer.weight, network.layer.weight.detach().clone()
    frame = repro.measure(network, X, measurements=["weights", "representations"])
    assert network.layer.weight is parameter
    assert torch.equal(parameter, before)
    assert sigmas(frame, "weights", "layer", "output") == ends(before * 0.9)


def standardised(self: nn.Conv2d, x: Tensor) -> Tensor:
    weight = (self.weight - self.weight.mean((1, 2, 3), keepdim=True)) / self.weight.std((1, 2, 3), keepdim=True)
    return self._conv_forward(x, weight, self.bias)


@pytest.mark.parametrize("ours", [False, True])
def test_a_forward_that_somebody_put_in_place_is_what_acts(ours: bool) -> None:
    network = create_network("resnet8", width=4) if ours else nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())
    name = "stem.conv1" if ours else "0"
    layer = network.get_submodule(name)
    raw = layer.weight.detach()
    layer.forward = types.MethodType(standardised, layer)
    acting = (raw - raw.mean((1, 2, 3), keepdim=True)) / raw.std((1, 2, 3), keepdim=True)
    assert sigmas(repro.measure(network, IMAGES, measurements=["weights"]), "weights", name, "output") == ends(
        acting.flatten(1)
    )


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = param(5, 12)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T


@pytest.mark.parametrize(
    "change",
    [parametrizations.spectral_norm, lambda layer: prune.l1_unstructured(layer, "weight", 0.5)],
    ids=["spectral norm", "pruned"],
)
def test_a_weight_that_became_another_s_source_is_surveyed_anew(change: Callable[[nn.Module], Any]) -> None:
    network = nn.Sequential(Own())
    known = survey(network, X)
    change(network[0])
    (found, *_) = take(network, X, measurements=["weights"], known=known)
    assert [found.values["sigma_max"], found.values["sigma_min"]] == ends(network[0].weight)


class Rectified(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.relu())


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("by_hook", [False, True])
def test_borders_are_taken_off_what_is_convolved(mode: Any, by_hook: bool) -> None:
    layer = (nn.Conv2d if by_hook else Rectified)(3, 4, 3, padding=1, padding_mode=mode)
    if by_hook:
        layer.register_forward_pre_hook(lambda _, args: (args[0].relu(),))
    frame = repro.measure(nn.Sequential(layer), IMAGES, measurements=["representations"])
    assert sigmas(frame, "representations", "0", "matrix") == ends(IMAGES.relu().flatten(1))


FIXED = From(
    lambda self, x: self.head(self.conv(x.view(4, 3, 8, 8)).relu().view(4, -1)),
    conv=nn.Conv2d(3, 4, 3),
    head=nn.Linear(144, 5),
)
TARGETS = From(lambda self, x, y=None: self.body(x) if not self.training else x[y["k"]], body=nn.Linear(12, 5))
LOOKS_UP = From(lambda self, x: self.head(self.table(x).mean(1)), table=nn.Embedding(5, 12), head=nn.Linear(12, 5))
REFUSED: dict[str, tuple[nn.Module, Any, dict[str, Any], str]] = {
    "held out, fixed batch": (
        FIXED,
        IMAGES,
        {"measurements": ["amplification"], "held_out": IMAGES},
        "refuses the inp",
    ),
    "in training": (TARGETS, X, {"measurements": ["gradients"]}, "refuses the inputs .* TypeError"),
    "a later sample": (LOOKS_UP, torch.tensor([[1], [9]]), {"measurements": ["representations"]}, "with IndexError"),
    "loss": (
        nn.Linear(12, 5),
        X,
        {"measurements": ["gradients"], "loss": nn.BCEWithLogitsLoss()},
        r"BCEWith.* refuses",
    ),
    "loss's own": (nn.Linear(12, 5), X, {"measurements": ["errors"], "loss": lambda out, _: out["x"]}, "pass loss="),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_passes_and_losses_that_fail_are_told_in_a_line(name: str) -> None:
    network, inputs, options, message = REFUSED[name]
    with pytest.raises(UserError, match=message):
        take(network, inputs, LABELS[: len(inputs)], **options)


def test_a_network_that_takes_whole_batches_only_has_its_operators() -> None:
    found = take(FIXED, IMAGES, measurements=["operators"])
    assert [(each.name, each.mode) for each in found] == [
        ("conv", "circular"),
        ("conv", "padded"),
        ("head", "circular"),
    ]


class Attends(nn.Module):
    def __init__(self, arrange: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.attention, self.arrange = nn.MultiheadAttention(12, 3, batch_first=True), arrange

    def forward(self, x: Tensor) -> Tensor:
        x = self.arrange(x)
        return self.attention(x, x, x)[0]


@pytest.mark.parametrize(
    "arrange", [lambda x: x.flatten(0, 1), lambda x: x.transpose(0, 1).flatten(0, 1)], ids=["inside", "outside"]
)
@pytest.mark.parametrize("windows", [3, 4])
def test_windows_of_attention_lie_inside_or_outside_of_the_samples(arrange: Any, windows: int) -> None:
    x = torch.randn(4, windows, 5, 12, generator=torch.Generator().manual_seed(0))
    frame = repro.measure(Attends(arrange), x, measurements=["representations"])
    assert sigmas(frame, "representations", "attention.in_proj_weight", "matrix") == ends(x.flatten(1))
    assert sigmas(frame, "representations", "attention.in_proj_weight", "window") == ends(x.transpose(0, 1).flatten(1))


@pytest.mark.parametrize("length", [4, 8, 16])
def test_tokens_that_lead_the_inputs_are_not_taken_for_samples(length: int) -> None:
    recurrent = From(lambda self, x: self.lstm(x)[0], lstm=nn.LSTM(12, 6))
    attending = From(lambda self, x: self.attention(x, x, x)[0], attention=nn.MultiheadAttention(12, 3))
    between = From(
        lambda self, x: self.last(self.gru(self.first(x))[0]), first=nn.Linear(12, 12), gru=nn.GRU(12, 6), last=None
    )
    between.last = nn.Linear(6, 5)
    whole = nn.TransformerEncoder(nn.TransformerEncoderLayer(12, 3, 16), 1, enable_nested_tensor=False)
    for network in (recurrent, attending, between, whole):
        with pytest.warns(UserWarning, match="not one row a sample"):
            frame = repro.measure(network, torch.randn(length, 8, 12))
        assert not (frame["measurement"] == "representations").any()


class Choosing(nn.Module):
    """A mixture whose experts choose tokens, as many each as there are samples."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(12, 6), nn.ModuleList(nn.Linear(12, 12) for _ in range(6))

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(0, 1)
        result, wanted = torch.zeros_like(tokens), self.gate(tokens)
        for number, expert in enumerate(self.experts):
            chosen = wanted[:, number].topk(len(x)).indices
            result = result.index_add(0, chosen, expert(tokens[chosen]))
        return result.view_as(x)


def test_as_many_tokens_as_samples_are_not_the_samples() -> None:
    with pytest.warns(UserWarning, match="not one row a sample: what is read by experts.0, experts.1"):
        frame = repro.measure(Choosing(), TOKENS, measurements=["representations"])
    assert sigmas(frame, "representations", "gate", "matrix") == ends(TOKENS.flatten(1))
    assert set(frame["name"]) == {"gate"}
    picking = From(
        lambda self, x: self.layer(self.norm(x[:, [2, 0, 5]])), layer=nn.Linear(12, 5), norm=nn.LayerNorm(12)
    )
    frame = repro.measure(picking, TOKENS, measurements=["representations"])
    assert sigmas(frame, "representations", "layer", "matrix") == ends(picking.norm(TOKENS[:, [2, 0, 5]]).flatten(1))


@pytest.mark.parametrize("lengths", [[6, 3, 2, 1], [6, 6, 6, 6]])
def test_tokens_of_packed_inputs_are_not_samples(lengths: list[int]) -> None:
    packed = rnn.pack_padded_sequence(TOKENS, torch.tensor(lengths), batch_first=True)
    network = From(lambda self, x: self.head(self.gru(x)[1][0]), gru=nn.GRU(12, 6), head=nn.Linear(6, 5))
    with pytest.warns(UserWarning, match="what is read by gru.weight_ih_l0"):
        frame = repro.measure(network, (packed,))
    assert has(frame, "representations", "head")
    assert samples((packed,)) == 4


@pytest.mark.parametrize("count", [6, 12])
def test_a_mask_that_comes_first_does_not_count_the_samples(count: int) -> None:
    x, mask = torch.randn(count, 6, 12), torch.ones(6, 6).tril()
    network = From(lambda self, mask, x: self.layer(mask @ x), layer=nn.Linear(12, 5))
    frame = repro.measure(network, {"mask": mask, "x": x}, measurements=["representations"])
    assert sigmas(frame, "representations", "layer", "matrix") == ends((mask @ x).flatten(1))


@dataclass(frozen=True)
class Batch:
    x: Tensor
    name: str = "a batch"


INPUTS: dict[str, Callable[[Tensor], Any]] = {
    "dataclass": Batch,
    "object": lambda x: types.SimpleNamespace(x=x, inner=types.SimpleNamespace(again=x)),
    "mapping": lambda x: collections.UserDict(x=x),
}


@pytest.mark.parametrize("kind", list(INPUTS))
def test_inputs_of_any_kind_are_copied_and_followed(kind: str) -> None:
    def forward(self: Any, batch: Any) -> Tensor:
        x = batch["x"] if isinstance(batch, collections.UserDict) else batch.x
        return x.mul_(2) @ self.w

    mine = X.clone()
    network = From(forward, w=param(12, 5))
    frame = repro.measure(network, INPUTS[kind](mine), LABELS, measurements=["representations", "gradients"])
    assert torch.equal(mine, X)
    assert sigmas(frame, "representations", "w", "matrix") == ends(2 * X)
    assert samples(INPUTS[kind](mine)) == 8


def test_a_dict_that_is_not_quite_one_is_handed_on_by_name() -> None:
    inputs = collections.defaultdict(list, input=X)
    assert repro.measure(nn.Linear(12, 5), inputs, measurements=["representations"])["value"].notna().all()


def test_a_network_in_two_precisions_gets_what_it_takes() -> None:
    mixed = From(lambda self, x: self.b(x) + self.a(x.bfloat16()).float(), a=nn.Linear(12, 5), b=nn.Linear(12, 5))
    mixed.a.bfloat16()
    frame = repro.measure(mixed, X, measurements=["representations"])
    assert sigmas(frame, "representations", "b", "matrix") == ends(X)
    half = nn.Sequential(nn.Linear(12, 6).bfloat16(), From(lambda self, x: self.norm(x.float()), norm=nn.LayerNorm(6)))
    assert has(repro.measure(half, X, measurements=["representations"]), "representations", "0")


class Wraps(torch.optim.Optimizer):
    """An optimiser that holds another."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {"lr": 0.1})
        self.inner = torch.optim.SGD(self.param_groups, lr=0.1)

    def step(self, closure: Any = None) -> Any:
        return self.inner.step(closure)


def test_adapters_train_a_weight_that_is_frozen() -> None:
    merged = From(lambda self, x: F.linear(x, self.base + self.b @ self.a), base=param(5, 12), a=param(2, 12), b=None)
    merged.b = param(5, 2)
    merged.base.requires_grad_(requires_grad=False)
    beside = From(
        lambda self, x: F.linear(x, self.base) + x @ self.a.T @ self.b.T, base=merged.base, a=merged.a, b=None
    )
    beside.b = merged.b
    for network, frozen in ((merged, []), (beside, ["base"])):
        frame = repro.measure(network, X, LABELS, measurements=["weights", "gradients"])
        assert frame.attrs["seen"]["frozen"] == frozen
        assert has(frame, "gradients", "base") == (not frozen)
        acting = merged.base + merged.b @ merged.a if network is merged else merged.base
        assert sigmas(frame, "weights", "base", "output") == ends(acting)


@pytest.mark.parametrize("scale", [1e38, 1.0, 1e-30])
@pytest.mark.parametrize("double", [False, True])
def test_convolutions_of_any_size_are_maps(scale: float, double: bool) -> None:
    dtype, scale = (torch.float64, scale**8) if double else (torch.float32, scale)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular")).to(dtype)
    with torch.no_grad():
        network[0].weight.normal_(generator=torch.Generator().manual_seed(0))
        network[0].weight.div_(network[0].weight.abs().max()).mul_(3.4).mul_(scale)
    frame = repro.measure(network, IMAGES.to(dtype), measurements=["operators"])
    pixels = F.pad(torch.eye(192, dtype=torch.float64).view(-1, 3, 8, 8), (1, 1, 1, 1), mode="circular")
    values = torch.linalg.svdvals(F.conv2d(pixels, network[0].weight.detach().double() / scale).flatten(1))
    found = sigmas(frame, "operators", "0", "circular")
    assert [each / scale for each in found] == pytest.approx([float(values[0]), float(values[-1])], rel=1e-6)


def test_second_derivatives_that_torch_has_wrong_are_told() -> None:
    class Halved(torch.autograd.Function):
        """x³, whose gradient is right and has a wrong derivative across its entries."""

        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors
            return gradients[0] * (3 * x.detach() ** 2 + (x - x.detach()).roll(1, 1))

    network = nn.Linear(12, 5)
    wrong = From(lambda self, x: Halved.apply(self.layer(x)), layer=network)
    right = From(lambda self, x: self.layer(x) ** 3, layer=network)
    with pytest.warns(UserWarning, match="second derivatives are not symmetric .* the network"):
        assert not take(wrong, X, LABELS, measurements=["curvature"])
    assert take(right, X, LABELS, measurements=["curvature"])


def test_an_optimiser_with_more_than_its_state_is_refused() -> None:
    network = nn.Linear(12, 5)
    with pytest.raises(UserError, match="updates cannot be taken of Wraps"):
        take(network, X, LABELS, measurements=["updates"], optimizer=Wraps(network.parameters()))
