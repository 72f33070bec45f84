from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from torch import Tensor, nn

from repro.errors import UserError
from repro.measurements import Reading, take
from repro.measurements.kinds.distributions import PERCENTILES, describe, edges
from repro.networks import create_network, weight_layers

LABELS = torch.arange(24) % 10


def images() -> Tensor:
    return torch.randn(24, 3, 12, 12, generator=torch.Generator().manual_seed(1))


@given(npst.arrays(np.float32, st.integers(1, 200), elements=st.floats(width=32)))
def test_numbers_agree_with_numpy_whatever_the_entries(array: np.ndarray) -> None:
    values = describe(torch.from_numpy(array))
    assert values["count"] == array.size
    assert values["nan"] == np.isnan(array).sum()
    assert values["inf"] == np.isposinf(array).sum()
    assert values["-inf"] == np.isneginf(array).sum()
    finite = array[np.isfinite(array)].astype(float)
    bins = {int(name.removeprefix("bin ")): count for name, count in values.items() if name.startswith("bin ")}
    assert sum(bins.values()) == len(finite)
    if not len(finite):
        assert "p50" not in values
        return
    for share in PERCENTILES:
        assert values[f"p{share:g}"] in np.percentile(finite, share, method="nearest") + np.zeros(1) or values[
            f"p{share:g}"
        ] in (np.percentile(finite, share, method="lower"), np.percentile(finite, share, method="higher"))
    assert values["mean"] == pytest.approx(finite.mean(), rel=1e-9, abs=1e-9 * np.abs(finite).max())
    assert values["std"] == pytest.approx(finite.std(), rel=1e-9, abs=1e-7 * np.abs(finite).max())
    counted = np.bincount(np.digitize(finite, edges().numpy(), right=True), minlength=len(edges()) + 1)
    assert bins == {number: count for number, count in enumerate(counted) if count}


def test_the_histogram_keeps_its_range_from_1e_minus_8_to_beyond_1e6() -> None:
    bounds = edges().tolist()
    assert (bounds[0], bounds[-1]) == (-1e8, 1e8)
    assert bounds == sorted(bounds)
    values = describe(torch.tensor([-6e9, -3e6, 0.0, 2e-9, 0.5, 1e6, 7e6, 3e20]))
    bins = {name: count for name, count in values.items() if name.startswith("bin ")}
    assert bins["bin 0"] == 1
    assert bins[f"bin {len(bounds)}"] == 1
    assert bins[f"bin {len(bounds) // 2}"] == 2
    assert len(bins) == 7
    assert (values["p0"], values["p100"]) == (-6e9, pytest.approx(3e20, rel=1e-7))


def of(readings: list[Reading], layer: int, kind: str) -> dict[str, float]:
    return dict(next(each.values for each in readings if (each.layer, each.mode) == (layer, kind)))


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_each_kind_is_what_it_says(mode: str) -> None:
    torch.manual_seed(0)
    network = create_network("plainnet8", width=4)
    readings = take(network, images(), LABELS, measurements=["distributions"], mode=mode)  # type: ignore[arg-type]
    layers = weight_layers(network)
    assert {each.layer for each in readings} == {1, 6}
    read, returned = {}, {}
    for layer in layers:
        layer.module.register_forward_pre_hook(lambda _m, inputs, n=layer.index: read.update({n: inputs[0]}))
        layer.module.register_forward_hook(lambda _m, _i, output, n=layer.index: returned.update({n: output}))
    for prefix, training in (("", mode == "train"), ("training ", True)):
        network.train(training)
        with torch.no_grad():
            network(images())
        for number in (1, 6):
            for kind, tensor in (("activations", read[number + 1]), ("outputs", returned[number])):
                values = of(readings, number, prefix + kind)
                assert values["p0"] == pytest.approx(tensor.min().item(), rel=1e-5)
                assert values["p100"] == pytest.approx(tensor.max().item(), rel=1e-5)
                assert values["mean"] == pytest.approx(tensor.double().mean().item(), rel=1e-5, abs=1e-6)
    network.train()
    torch.nn.functional.cross_entropy(network(images()), LABELS).backward()
    for number in (1, 6):
        gradient = layers[number - 1].module.weight.grad
        assert isinstance(gradient, Tensor)
        assert of(readings, number, "gradients")["std"] == pytest.approx(gradient.std(correction=0).item(), rel=1e-4)
        assert of(readings, number, "weights")["count"] == layers[number - 1].module.weight.numel()


def test_layers_are_chosen_by_number_from_either_end() -> None:
    network = create_network("plainnet8", width=4)
    readings = take(network, images(), measurements=["distributions"], layers=[-1, 2, 8])
    assert {each.layer for each in readings} == {2, 8}
    assert {each.mode for each in readings if each.layer == 8} == {"weights", "activations", "outputs"}
    assert of(readings, 8, "activations") == of(readings, 8, "outputs")  # the scores: nothing reads them
    with pytest.raises(UserError, match="no layer 9: the network has 8 weight layers"):
        take(network, images(), measurements=["distributions"], layers=[9])
    tiny = nn.Sequential(nn.Flatten(), nn.Linear(432, 10))
    assert {each.layer for each in take(tiny, images(), measurements=["distributions"])} == {1}


def test_non_finite_activations_are_counted() -> None:
    network = create_network("plainnet8", width=4)
    with torch.no_grad():
        weight_layers(network)[0].module.weight[0] = math.inf
    values = of(take(network, images(), measurements=["distributions"]), 1, "outputs")
    assert values["nan"] + values["inf"] + values["-inf"] == values["count"] / 4
