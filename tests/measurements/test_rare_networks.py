"""Networks of rarer kinds: values of what acted, recomputed by plain autograd and NumPy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.utils import parametrizations
from torch.testing._internal.two_tensor import TwoTensor
from torch.utils.checkpoint import checkpoint

import repro
from repro.measurements import take
from repro.networks import create_network
from tests.measurements.test_strange_networks import IMAGES, LABELS, TOKENS, X, ends, has, sigmas
from tests.measurements.zoo import From, param


def gradient(network: nn.Module, weight: Tensor) -> Tensor:
    """Of the cross-entropy, by plain autograd."""
    (found,) = torch.autograd.grad(F.cross_entropy(network(X), LABELS), [weight])
    return found


TWICE: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "as it is": lambda weight: (weight, weight),
    "as a copy": lambda weight: (weight, weight.clone()),
    "made twice": lambda weight: (weight + 0, weight + 0),
    "for every sample": lambda weight: (weight.expand(len(X), 12, 12), weight.expand(len(X), 12, 12)),
}


@pytest.mark.parametrize("name", list(TWICE))
def test_the_gradient_of_a_made_weight_that_acts_twice_is_counted_once(name: str) -> None:
    def forward(self: Any, x: Tensor, weight: Tensor | None = None) -> Tensor:
        for each in TWICE[name](2 * self.w if weight is None else weight):
            x = torch.tanh(torch.matmul(x[:, None], each)[:, 0])
        return self.head(x)

    network = From(forward, w=param(12, 12), head=nn.Linear(12, 5))
    frame = repro.measure(network, X, LABELS, measurements=["gradients"])
    weight = (2 * network.w).detach().requires_grad_()
    wanted = gradient(lambda x: network(x, weight), weight)  # type: ignore[arg-type]
    assert sigmas(frame, "gradients", "w", "input") == ends(wanted)


@pytest.mark.parametrize("wrap", [parametrizations.weight_norm, parametrizations.orthogonal])
@pytest.mark.parametrize("times", [1, 2])
def test_parametrised_layers_in_a_checkpoint(wrap: Callable[[nn.Module], nn.Module], times: int) -> None:
    layer = wrap(nn.Linear(12, 12))

    def forward(self: Any, x: Tensor) -> Tensor:
        for _ in range(times):
            x = checkpoint(lambda x: torch.tanh(self.layer(x)), x, use_reentrant=False)
        return self.head(x)

    network = From(forward, layer=layer, head=nn.Linear(12, 5))
    frame = repro.measure(network, X, LABELS, measurements=["gradients", "errors"])
    with torch.nn.utils.parametrize.cached():
        weight = layer.weight
        wanted = gradient(lambda x: network.head(_tanh_times(layer, x, times)), weight)  # type: ignore[arg-type]
    assert sigmas(frame, "gradients", "layer", "output") == ends(wanted)
    assert has(frame, "errors", "head")


def _tanh_times(layer: nn.Module, x: Tensor, times: int) -> Tensor:
    for _ in range(times):
        x = torch.tanh(layer(x))
    return x


def _ragged() -> Tensor:
    return torch.nested.nested_tensor([X[:3], X[:5]], layout=torch.jagged)


SCATTERED: dict[str, tuple[Callable[[Any, Any], Tensor], Callable[[], Any]]] = {
    "sparse": (lambda self, x: torch.sparse.mm(x, self.w), lambda: X.to_sparse()),
    "compressed": (lambda self, x: x @ self.w, lambda: X.to_sparse_csr()),
    "ragged": (lambda self, x: torch.nested.to_padded_tensor(x @ self.w, 0.0).mean(1), _ragged),
    "ragged inside": (
        lambda self, x: torch.nested.as_nested_tensor([*x[:, None]], layout=torch.jagged).matmul(self.w).values(),
        lambda: X,
    ),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("name", list(SCATTERED))
def test_what_is_read_in_no_rows_is_told_and_its_weight_measured(name: str) -> None:
    forward, inputs = SCATTERED[name]
    network = From(forward, w=param(12, 5))
    with pytest.warns(UserWarning, match="not one row a sample: what is read by w"):
        frame = repro.measure(network, inputs(), LABELS[: 2 if name == "ragged" else 8])
    assert sigmas(frame, "weights", "w", "input") == ends(network.w)


def test_a_graph_may_be_sparse() -> None:
    torch.manual_seed(0)
    adjacency = (torch.rand(8, 8) > 0.5).float()
    network = From(lambda self, x, graph: torch.sparse.mm(graph, self.layer(x)), layer=nn.Linear(12, 5))
    frame = repro.measure(network, (X, adjacency.to_sparse()), LABELS, measurements=["representations", "gradients"])
    assert sigmas(frame, "representations", "layer", "matrix") == ends(X)
    F.cross_entropy(adjacency @ network.layer(X), LABELS).backward()
    assert sigmas(frame, "gradients", "layer", "output") == ends(network.layer.weight.grad)


def test_inference_mode_makes_no_difference() -> None:
    """Lightning's validation hooks, for one, are called in it."""
    network = nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Linear(8, 5))
    optimizer = torch.optim.Adam(network.parameters())
    names = ["weights", "representations", "gradients", "errors", "updates"]
    wanted = take(network, X, LABELS, measurements=names, optimizer=optimizer)
    with torch.inference_mode():
        found = take(network, X.clone(), LABELS.clone(), measurements=names, optimizer=optimizer)
        assert torch.is_inference_mode_enabled()
    assert [(each.measurement, each.layer, each.mode) for each in found] == [
        (each.measurement, each.layer, each.mode) for each in wanted
    ]
    for one, other in zip(found, wanted, strict=True):
        assert one.values["sigma_max"] == pytest.approx(other.values["sigma_max"], rel=1e-9)
    assert all(parameter.grad is None for parameter in network.parameters())


def _group_of_every_sample(self: Any, x: Tensor) -> Tensor:
    weight = self.w.repeat(len(x), 1, 1, 1)
    return F.conv2d(x.reshape(1, -1, 8, 8), weight, groups=len(x)).view(len(x), 5, -1).mean(2)


def test_a_weight_that_grows_with_the_samples_has_no_gradient_of_another_shape() -> None:
    network = From(_group_of_every_sample, w=param(5, 3, 3, 3))
    with pytest.warns(UserWarning, match="with other axes than before: the weights of w"):
        frame = repro.measure(network, IMAGES, LABELS[:4], measurements=["weights", "gradients"])
    assert sigmas(frame, "weights", "w", "output") == ends(network.w.flatten(1))
    assert not has(frame, "gradients", "w")


def test_products_in_place_and_of_linalg() -> None:
    network = From(
        lambda self, x: torch.linalg.matmul(x.new_zeros(len(x), 12).addmm_(x, self.v), self.w),
        v=param(12, 12),
        w=param(12, 5),
    )
    frame = repro.measure(network, X, LABELS, measurements=["weights", "representations", "gradients"])
    F.cross_entropy(X @ network.v @ network.w, LABELS).backward()
    for name, read in (("v", X), ("w", X @ network.v)):
        weight = getattr(network, name)
        assert sigmas(frame, "weights", name, "input") == ends(weight)
        assert sigmas(frame, "gradients", name, "input") == ends(weight.grad)
        assert sigmas(frame, "representations", name, "matrix") == ends(read)


def test_tensors_that_are_made_of_others_are_told_and_the_rest_is_measured() -> None:
    network = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 5))
    network[0].weight = nn.Parameter(TwoTensor(network[0].weight.detach(), network[0].weight.detach().clone()))
    with pytest.warns(UserWarning, match="what is (read|returned) by 2|gradient reaches the weights of 2"):
        frame = repro.measure(network, X, LABELS, measurements=["weights", "representations", "outputs", "gradients"])
    assert sigmas(frame, "weights", "2", "output") == ends(network[2].weight)
    assert not has(frame, "representations", "2")
    assert list(frame.attrs["seen"]["not_seen"].values()) == [["0.weight"]]


class _Named(Tensor):
    """A class of one's own that adds nothing to what the numbers are, as torchvision's images do."""


def test_a_class_of_tensors_that_only_adds_a_name_is_as_good_as_any() -> None:
    network = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 5))
    names = ["weights", "representations", "gradients", "operators"]
    wanted = take(network, X, LABELS, measurements=names)
    network[0].weight = nn.Parameter(network[0].weight.detach().as_subclass(_Named))
    found = take(network, X.as_subclass(_Named), LABELS, measurements=names)
    assert [each.values for each in found] == [each.values for each in wanted]


def test_our_own_network_in_shards_is_measured_as_it_acts(tmp_path: Path) -> None:
    network = create_network("resnet8", width=4)
    wanted = take(network, IMAGES, measurements=["weights"])
    store = f"file://{tmp_path / 'meeting'}"
    dist.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        found = take(fully_shard(network, mesh=init_device_mesh("cpu", (1,))), IMAGES, measurements=["weights"])
    finally:
        dist.destroy_process_group()
    assert [(each.name, each.mode) for each in found] == [(each.name, each.mode) for each in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one.values["sigma_max"] == pytest.approx(other.values["sigma_max"], rel=1e-9)


def test_a_graph_that_waits_for_its_backward_pass_is_left_usable() -> None:
    network = nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 5))

    def step(*, measured: bool) -> list[Tensor]:
        torch.manual_seed(0)
        network.zero_grad()
        loss = F.cross_entropy(network(X), LABELS)
        if measured:
            take(network, X, LABELS, measurements=["weights", "representations", "gradients", "errors"], mode="train")
        loss.backward()
        return [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]

    for one, other in zip(step(measured=False), step(measured=True), strict=True):
        assert one.equal(other)
    network(X).sum().backward()
    late = F.cross_entropy(network.eval()(X), LABELS)
    network[1].running_var.add_(1)  # what the user changes is not hidden
    take(network, X, LABELS, measurements=["gradients"])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        late.backward()


class _Standardised(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, 2 * (self.weight - self.weight.mean()), self.bias)


@pytest.mark.parametrize("make", [nn.Linear, lambda *sizes: parametrizations.orthogonal(nn.Linear(*sizes))])
def test_a_loss_that_calls_the_network_again_counts(make: Callable[..., nn.Module]) -> None:
    network = nn.Sequential(make(12, 12), nn.Tanh(), _Standardised(12, 12), nn.Tanh(), nn.Linear(12, 5))

    def loss(scores: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(scores, labels) + (network(1.1 * X) - network(0.9 * X)).square().mean()

    with pytest.warns(UserWarning, match="the loss calls the network again, which makes anew the weights of 2"):
        frame = repro.measure(network, X, LABELS, measurements=["gradients"], loss=loss)
    assert not has(frame, "gradients", "2")  # a part of it would be there
    with torch.nn.utils.parametrize.cached():
        weight = network[0].weight
        (wanted,) = torch.autograd.grad(loss(network(X), LABELS), [weight])
    assert sigmas(frame, "gradients", "0", "output") == ends(wanted)


def test_a_packed_sequence_is_one_argument() -> None:
    packed = nn.utils.rnn.pack_sequence([TOKENS[0], TOKENS[1][:4], TOKENS[2][:1]])
    network = From(lambda self, x: self.head(self.cell(x)[1][-1]), cell=nn.GRU(12, 6), head=nn.Linear(6, 5))
    with pytest.warns(UserWarning, match="what is read by cell"):
        frame = repro.measure(network, packed)
    _, state = network.cell(packed)
    assert sigmas(frame, "representations", "head", "matrix") == ends(state[-1])


def test_experts_in_one_product_have_a_mode_of_their_own() -> None:
    ends_at = torch.tensor([4, 8], dtype=torch.int32)
    network = From(
        lambda self, x: self.head(F.grouped_mm(x.bfloat16(), self.w.bfloat16(), offs=ends_at).float()),
        w=param(2, 16, 16),
        head=nn.Linear(16, 5),
    )
    tokens = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    frame = repro.measure(network, (tokens,), LABELS, measurements=["weights", "gradients"])
    acting = network.w.detach().bfloat16().float()
    assert set(frame[frame["name"] == "w"]["mode"]) == {"group", "input", "output"}
    assert sigmas(frame, "weights", "w", "output") == ends(acting.movedim(2, 0).flatten(1))
