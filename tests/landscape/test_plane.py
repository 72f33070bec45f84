from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from repro.landscape import directions
from repro.landscape.plane import Plane, evaluate
from repro.networks import create_network
from repro.networks.skip import SkipToOutput
from repro.theory.nguyen.losses import cross_entropy
from tests.landscape.reference import point_by_point

COORDINATES = torch.tensor([[0.0, 0.0], [0.5, -0.25], [0.5, 1.0], [-1.0, 0.3]], dtype=torch.float64)


def network(kind: str) -> nn.Module:
    torch.manual_seed(0)
    facts = {"in_channels": 1, "image_size": 8}
    if kind == "resnet":
        return create_network("resnet8", width=4, **facts)
    made = create_network("mlp", hidden=[12, 9], activation="softplus", **facts)
    if kind == "mlp":
        return made
    blank = torch.zeros(1, 1, 8, 8)
    if kind == "skip mlp":
        return SkipToOutput(made, 15, 0, image=blank, num_classes=10)
    return SkipToOutput(create_network("cnn13", width=4, **facts), 30, 0, image=blank, num_classes=10)


KINDS = ("mlp", "skip mlp", "resnet", pytest.param("skip cnn", marks=pytest.mark.slow))


def batches(sizes: tuple[int, ...] = (7, 5)) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    count = sum(sizes)
    images, labels = torch.randn(count, 1, 8, 8, generator=generator), torch.randint(10, (count,), generator=generator)
    return list(zip(images.split(list(sizes)), labels.split(list(sizes)), strict=True))


def plane(of: nn.Module, seed: int = 0) -> Plane:
    center = directions.trained_parameters(of)
    generator = torch.Generator().manual_seed(seed)
    return Plane(center, *(directions.random_direction(center, generator) for _ in range(2)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_loss_of_the_network_with_those_weights(kind: str) -> None:
    made = network(kind)
    expected = point_by_point(made, plane(made), COORDINATES, batches(), loss=cross_entropy)
    for together in (1, 3):
        for linear in (True, False):
            found = evaluate(
                made, plane(made), COORDINATES, batches(), loss=cross_entropy, together=together, linear=linear
            )
            torch.testing.assert_close(found, expected, rtol=2e-5, atol=1e-6)
    assert expected[:, 0].std() > 0.01, "the points differ"


@pytest.mark.parametrize("kind", KINDS)
def test_it_does_not_depend_on_how_images_are_cut(kind: str) -> None:
    made = network(kind)
    whole = evaluate(made, plane(made), COORDINATES, batches((12,)), loss=cross_entropy)
    parts = evaluate(made, plane(made), COORDINATES, batches((1, 2, 4, 5)), loss=cross_entropy)
    torch.testing.assert_close(whole, parts, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_the_network_is_left_as_it_was(kind: str) -> None:
    made = network(kind).train()
    before = {name: each.clone() for name, each in made.state_dict().items()}
    storage = {name: each.data_ptr() for name, each in made.named_parameters()}
    evaluate(made, plane(made), COORDINATES, batches(), loss=cross_entropy)
    assert made.training
    assert storage == {name: each.data_ptr() for name, each in made.named_parameters()}
    for name, each in made.state_dict().items():
        assert torch.equal(each, before[name]), name


def test_weights_that_do_not_train_stay() -> None:
    made = network("mlp")
    first = next(iter(made.parameters()))
    first.requires_grad_(False)
    of = plane(made)
    assert len(of.start) == len(list(made.parameters())) - 1
    torch.testing.assert_close(
        evaluate(made, of, COORDINATES, batches(), loss=cross_entropy),
        point_by_point(made, of, COORDINATES, batches(), loss=cross_entropy),
    )


def test_a_network_that_changes_its_images_first_is_not_taken_for_linear() -> None:
    class Squares(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(64, 10)

        def forward(self, images: Tensor) -> Tensor:
            return self.layer(images.flatten(1).square())

    made = Squares()
    torch.testing.assert_close(
        evaluate(made, plane(made), COORDINATES, batches(), loss=cross_entropy),
        point_by_point(made, plane(made), COORDINATES, batches(), loss=cross_entropy),
        rtol=1e-5,
        atol=1e-6,
    )


def test_random_directions_are_as_long_as_the_weights() -> None:
    center = directions.trained_parameters(network("mlp"))
    drawn = directions.random_direction(center, torch.Generator().manual_seed(0))
    assert directions.norm(drawn) == pytest.approx(directions.norm(center), rel=1e-5)
    again = directions.random_direction(center, torch.Generator().manual_seed(0))
    assert all(torch.equal(drawn[name], again[name]) for name in drawn)


def test_filters_are_as_long_as_the_weights() -> None:
    center = directions.trained_parameters(network("resnet"))
    drawn = directions.filter_normalised(center, torch.Generator().manual_seed(0))
    for name, each in center.items():
        if each.ndim < 2:
            assert not drawn[name].any()
        else:
            torch.testing.assert_close(drawn[name].flatten(1).norm(dim=1), each.flatten(1).norm(dim=1))


def test_principal_directions_are_those_of_a_singular_value_decomposition() -> None:
    generator = torch.Generator().manual_seed(0)
    center = {"w": torch.randn(4, 5, generator=generator), "b": torch.randn(3, generator=generator)}
    visited = [
        {name: each + torch.randn(each.shape, generator=generator) for name, each in center.items()} for _ in range(6)
    ]
    first, second, coordinates, share = directions.principal(center, visited)
    rows = np.stack([np.concatenate([(v[n] - center[n]).numpy().ravel() for n in center]) for v in visited])
    _, values, axes = np.linalg.svd(rows.astype(float), full_matrices=False)
    assert share == pytest.approx((values[:2] ** 2).sum() / (values**2).sum())
    for axis, found in zip(axes, (first, second), strict=False):
        flat = np.concatenate([found[name].numpy().ravel() for name in center])
        assert abs(flat @ axis) == pytest.approx(np.linalg.norm(flat), rel=1e-5)
    assert float(coordinates.abs().max()) == pytest.approx(1)
    flat = np.stack([np.concatenate([d[name].numpy().ravel() for name in center]) for d in (first, second)])
    np.testing.assert_allclose(coordinates.numpy() @ flat, rows @ axes[:2].T @ axes[:2], atol=1e-5)
    with pytest.raises(ValueError, match="two points"):
        directions.principal(center, visited[:1])
