"""Amplification, distance and DiracNet's diagonals, against numpy, closed forms and scikit-learn-like definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from repro.errors import UserError
from repro.measurements import take
from repro.measurements.kinds.geometry import carry, centred_gram, debiased_cka
from repro.networks import create_network, weight_layers
from repro.networks.families.block import ZeroPaddedIdentity


def images(seed: int = 1) -> Tensor:
    return torch.randn(24, 3, 12, 12, generator=torch.Generator().manual_seed(seed))


def test_amplification_is_proposition_3s_bound() -> None:
    torch.manual_seed(0)
    network = create_network("resnet8", width=4)
    readings = take(network, images(), measurements=["amplification"], held_out=images(2))
    network.eval()
    seen: dict[int, list[Tensor]] = {}
    for layer in weight_layers(network):
        layer.module.register_forward_pre_hook(
            lambda _m, inputs, n=layer.index - 1: seen.setdefault(n, []).append(inputs[0])
        )
    with torch.no_grad():
        network(images())
        network(images(2))
    assert [each.layer for each in readings] == list(range(8))
    for each in readings:
        before, after = (tensor.flatten(1).T.double().numpy() for tensor in seen[each.layer])
        change = np.linalg.norm(after - before, 2) / np.linalg.norm(before, 2)
        assert each.values["relative_change"] == pytest.approx(change, rel=1e-5)
        assert each.values["condition_number"] == pytest.approx(np.linalg.cond(before), rel=1e-4)
        assert each.values["bound"] == pytest.approx(change * np.linalg.cond(before), rel=1e-4)


def test_the_bound_holds_for_a_least_squares_solution() -> None:
    """Eq. 49 to 51: W X = Y with invertible W; for a small change of X the change of W stays below the bound."""
    generator = np.random.default_rng(0)
    x, w = generator.normal(size=(6, 24)), generator.normal(size=(6, 6))
    small = 1e-6 * generator.normal(size=x.shape)
    y = w @ x
    solution = y @ np.linalg.pinv(x + small)
    to_tensor = torch.from_numpy
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 2)).double()
    (reading,) = take(
        network,
        to_tensor(x.T.reshape(24, 1, 2, 3).copy()),
        measurements=["amplification"],
        held_out=to_tensor((x + small).T.reshape(24, 1, 2, 3).copy()),
    )
    moved = np.linalg.norm(np.linalg.inv(w) @ (solution - w), 2)
    assert 0 < moved <= reading.values["bound"] * (1 + 1e-4)


def test_amplification_needs_as_many_held_out_images() -> None:
    network = create_network("resnet8", width=4)
    for held_out in (None, images(2)[:5]):
        with pytest.raises(UserError, match="as many held-out images"):
            take(network, images(), measurements=["amplification"], held_out=held_out)


def distances(network: nn.Module, mode: str) -> dict[int, dict[str, float]]:
    readings = take(network, images(), measurements=["distance"])
    return {each.layer: dict(each.values) for each in readings if each.mode == mode}


def test_a_network_that_is_its_shortcuts_stays_where_it_began() -> None:
    """ResNet with zero weights in its blocks: h is carried as it is, up to the ReLU, which it has passed before."""
    network = create_network("resnet20", width=4, normalization="none")
    with torch.no_grad():
        for layer in weight_layers(network)[1:-1]:
            layer.module.weight.zero_()
            layer.module.bias.zero_()
    found = distances(network, "first")
    ends_of_blocks = [1, *range(3, 19, 2)]
    assert set(found[19]) == {"cka", "cka_debiased"}  # pooled: nothing to carry the image to
    for number in ends_of_blocks:
        assert found[number]["relative_distance"] == pytest.approx(0, abs=1e-6)
    assert all(found[number]["cka"] == pytest.approx(1, abs=1e-6) for number in ends_of_blocks[:4])
    inside = found[2]["relative_distance"]
    assert inside == pytest.approx(1)  # 0 against h


def test_cka_is_kornblith_et_al_s_for_linear_kernels() -> None:
    torch.manual_seed(0)
    network = create_network("resnet8", width=4).eval()
    found = distances(network, "input")
    seen: list[np.ndarray] = []
    for layer in weight_layers(network):
        layer.module.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0].flatten(1).double().numpy()))
    with torch.no_grad():
        network(images())
    x = seen[0] - seen[0].mean(0)
    for number, values in enumerate(seen):
        y = values - values.mean(0)
        # Kornblith et al. 2019, Eq. 5: the feature form, where ours goes by samples.
        expected = np.linalg.norm(y.T @ x) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))
        assert found[number]["cka"] == pytest.approx(expected, rel=1e-6)


def hsic(k: np.ndarray, other: np.ndarray) -> float:
    """The unbiased estimator, Song et al. 2012, Eq. 5."""
    m = len(k)
    k, other, one = k - np.diag(np.diag(k)), other - np.diag(np.diag(other)), np.ones(m)
    product = np.trace(k @ other) + (one @ k @ one) * (one @ other @ one) / ((m - 1) * (m - 2))
    return float(product - 2 / (m - 2) * one @ k @ other @ one) / (m * (m - 3))


def test_debiased_cka_is_the_unbiased_hsic_s_of_uncentred_kernels() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(9, 30)) + 5
    y = x[:, :7] @ generator.normal(size=(7, 12)) + generator.normal(size=(9, 12))
    k, other = x @ x.T, y @ y.T
    wanted = hsic(k, other) / (hsic(k, k) * hsic(other, other)) ** 0.5
    grams = [centred_gram(torch.from_numpy(each)) for each in (x, y)]
    assert debiased_cka(grams[0], grams[1]) == pytest.approx(wanted, rel=1e-10)
    assert debiased_cka(grams[0], grams[0]) == pytest.approx(1)


def test_independent_representations_are_alike_only_by_the_bias() -> None:
    one, other = (torch.randn(128, 16_384, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    grams = [centred_gram(each) for each in (one, other)]
    biased = float((grams[0] * grams[1]).sum() / (grams[0].norm() * grams[1].norm()))
    assert biased > 0.99
    assert abs(debiased_cka(*grams)) < 0.03


def test_the_debiased_value_stands_beside_the_other() -> None:
    torch.manual_seed(0)
    found = distances(create_network("resnet8", width=4).eval(), "input")
    assert all(set(values) >= {"cka", "cka_debiased"} for values in found.values())
    assert found[0]["cka_debiased"] == pytest.approx(1)
    few = take(create_network("resnet8", width=4).eval(), images()[:3], measurements=["distance"])
    assert all("cka_debiased" not in each.values for each in few)


def test_the_gram_is_the_same_in_blocks() -> None:
    tensor = torch.randn(5, 40_000)
    centred = (tensor - tensor.mean(0)).double()
    assert torch.allclose(centred_gram(tensor), centred @ centred.T, rtol=1e-5)


@pytest.mark.parametrize(("channels", "stride"), [(3, 1), (8, 2), (12, 4)])
def test_carrying_is_the_identity_shortcut(channels: int, stride: int) -> None:
    shortcut = ZeroPaddedIdentity(3, channels, stride=stride)
    expected = shortcut(images())
    carried = carry(images(), expected.shape)
    assert carried is not None
    assert torch.equal(carried, expected)
    assert carry(images(), torch.Size([24, 2, 12, 12])) is None
    assert carry(images(), torch.Size([24, 5, 7])) is None


def test_diagonals_are_how_far_a_is_from_one() -> None:
    network = create_network("diracnet8", width=4)
    layers = weight_layers(network)
    with torch.no_grad():
        layers[3].module.diagonal[:2] = torch.tensor([4.0, -3.0])
    readings = {each.layer: each.values for each in take(network, images(), measurements=["diagonals"])}
    assert set(readings) == set(range(2, 8))
    assert readings[4]["distance"] == pytest.approx(5)
    assert readings[4]["relative_distance"] == pytest.approx(5 / len(layers[3].module.diagonal) ** 0.5)
    assert (readings[4]["minimum"], readings[4]["maximum"]) == (-3, 4)
    assert readings[2]["distance"] == 0
    assert not take(create_network("resnet8", width=4), images(), measurements=["diagonals"])
