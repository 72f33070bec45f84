"""The skip's dial, and what trains deep networks without it, against their sources' formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from repro.errors import UserError
from repro.measurements import take
from repro.networks import check, create_network, weight_layers
from repro.networks.families.block import Block

DATA: dict[str, Any] = {"in_channels": 1, "image_size": 12, "width": 8}


def network(name: str, seed: int = 3, **options: Any) -> nn.Module:
    torch.manual_seed(seed)
    return create_network(name, **{**DATA, **options})


def blocks(net: nn.Module) -> list[Block]:
    return [module for module in net.modules() if isinstance(module, Block)]


def trained(net: nn.Module, steps: int = 4) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Losses and state after some steps of SGD with momentum and weight decay, normalisation in training mode."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    losses = []
    for _ in range(steps):
        images = torch.randn(8, 1, 12, 12, generator=generator)
        loss = F.cross_entropy(net(images), torch.randint(10, (8,), generator=generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return losses, net.state_dict()


def assert_same(one: nn.Module, other: nn.Module) -> None:
    (losses, state), (expected, values) = trained(one), trained(other)
    assert list(state) == list(values)
    assert all(map(torch.equal, losses, expected))
    assert all(map(torch.equal, state.values(), values.values()))


FORMS = [
    ("resnet14", {}),
    ("resnet14", {"shortcut": "projection"}),
    ("resnet11", {"block": "bottleneck", "shortcut": "projection"}),
    ("resnet14", {"normalization": "none", "activation": "tanh"}),
    ("resnet18", {"form": "imagenet", "image_size": 32}),
    ("resnext11", {"groups": 4}),
    ("resnext14", {"groups": 2, "block": "basic", "shortcut": "projection"}),
]


@pytest.mark.parametrize(("name", "options"), FORMS)
def test_a_dial_at_1_is_the_network_bit_for_bit(name: str, options: dict[str, Any]) -> None:
    assert_same(network(name, skip_strength=1, **options), network(name, **options))


@pytest.mark.parametrize(("name", "options"), [form for form in FORMS if form[0].startswith("resnet")])
def test_a_dial_at_0_is_plainnet_bit_for_bit(name: str, options: dict[str, Any]) -> None:
    plain = {key: value for key, value in options.items() if key != "shortcut"}
    assert_same(network(name, skip_strength=0.0, **options), network(name.replace("resnet", "plainnet"), **plain))


@pytest.mark.parametrize(("name", "options"), [form for form in FORMS if form[0].startswith("resnext")])
def test_an_aggregated_network_at_0_is_its_paths_alone(name: str, options: dict[str, Any]) -> None:
    options = {**options, "shortcut": "identity"}  # projections draw weights of their own
    whole = network(name, **options)
    for block in blocks(whole):
        block.shortcut = None
    assert_same(network(name, skip_strength=0, **options), whole)


@pytest.mark.parametrize("strength", [0.25, "learned"])
@pytest.mark.parametrize(("name", "options"), FORMS)
def test_a_block_adds_the_shortcut_times_the_dial(name: str, options: dict[str, Any], strength: Any) -> None:
    net, whole = network(name, skip_strength=strength, **options), network(name, **options)
    shared = {key.replace("shortcut.", "shortcut.whole."): value for key, value in whole.state_dict().items()}
    missing, unexpected = net.load_state_dict(shared, strict=False)
    assert not unexpected
    assert all(key.endswith("shortcut.scale.strength") for key in missing)
    alpha = 0.25
    for block, other in zip(blocks(net.eval()), blocks(whole.eval()), strict=True):
        if strength == "learned":
            assert block.shortcut.scale.strength.item() == 1.0  # type: ignore[union-attr]
            nn.init.constant_(block.shortcut.scale.strength, alpha)  # type: ignore[union-attr, arg-type]
        h = torch.randn(
            2, next(module for module in block.modules() if isinstance(module, nn.Conv2d)).in_channels, 8, 8
        )
        assert other.shortcut is not None
        torch.testing.assert_close(block(h), other.activation(other.path(h) + alpha * other.shortcut(h)))


def test_path_weights_do_not_hang_on_the_dial_where_shortcuts_have_none() -> None:
    states = [network("resnet14", skip_strength=strength).state_dict() for strength in (0, 0.5, "learned", 1)]
    for name, value in states[0].items():
        assert all(torch.equal(value, state[name]) for state in states), name


def test_a_learned_dial_learns() -> None:
    net = network("resnet14", skip_strength="learned")
    trained(net)
    moved = [block.shortcut.scale.strength.item() for block in blocks(net)]  # type: ignore[union-attr]
    assert len(set(moved)) == len(moved) == 6


def test_the_strengths_of_blocks_are_read_at_their_last_layer() -> None:
    net = network("resnet14", skip_strength="learned", residual="rezero")
    nn.init.constant_(blocks(net)[2].shortcut.scale.strength, 0.7)  # type: ignore[union-attr, arg-type]
    readings = take(net, torch.randn(8, 1, 12, 12), measurements=["skips"])
    found = {(each.layer, each.mode): each.values["strength"] for each in readings}
    expected = {
        (layer, mode): float(mode == "shortcut") for layer in (3, 5, 7, 9, 11, 13) for mode in ("shortcut", "path")
    }
    assert found == pytest.approx({**expected, (7, "shortcut"): 0.7})
    assert not take(network("resnet14"), torch.randn(8, 1, 12, 12), measurements=["skips"])


@pytest.mark.parametrize(("normalization", "groups"), [("group", 4), ("layer", 1)])
def test_images_are_normalised_alone_over_groups_of_channels(normalization: str, groups: int) -> None:
    given = {"normalization_groups": groups} if normalization == "group" else {}
    block = blocks(network("plainnet8", normalization=normalization, **given))[0]
    assert block.path.conv1.bias is None
    nn.init.normal_(block.path.norm1.weight)
    nn.init.normal_(block.path.norm1.bias)
    h = torch.randn(3, 8, 5, 5)
    parts = h.view(3, groups, -1)  # Wu and He 2018, Eq. 1 to 6
    deviation = (parts.var(2, unbiased=False, keepdim=True) + 1e-5).sqrt()
    normal = ((parts - parts.mean(2, keepdim=True)) / deviation).view_as(h)
    gain, bias = (value.view(1, -1, 1, 1) for value in (block.path.norm1.weight, block.path.norm1.bias))
    torch.testing.assert_close(block.path.norm1(h), gain * normal + bias)


def flat(weight: Tensor) -> Tensor:
    return weight.detach().double().flatten(1)


@pytest.mark.parametrize(("activation", "square"), [("relu", 2), ("tanh", 1), ("identity", 1)])
@pytest.mark.parametrize("name", ["plainnet14", "resnext11", "vgg11", "fc3"])
def test_orthogonal_kernels_are_orthogonal_when_unfolded(name: str, activation: str, square: float) -> None:
    options = {"image_size": 32, "groups": 4} if name == "resnext11" else {"image_size": 32}
    net = network(name, initialization="orthogonal", activation=activation, **options)
    for layer in weight_layers(net):
        for part in flat(layer.module.weight).chunk(getattr(layer.module, "groups", 1)):
            gram = part @ part.mT if part.shape[0] <= part.shape[1] else part.mT @ part
            torch.testing.assert_close(gram, square * torch.eye(len(gram), dtype=gram.dtype), atol=1e-5, rtol=0)


def test_delta_orthogonal_kernels_are_orthogonal_at_the_centre_and_zero_around_it() -> None:
    for layer in weight_layers(network("plainnet14", initialization="delta_orthogonal", activation="tanh"))[:-1]:
        weight = layer.module.weight.detach().clone()
        centre = weight[:, :, 1, 1].double()
        torch.testing.assert_close(centre.mT @ centre, torch.eye(centre.shape[1]).double(), atol=1e-6, rtol=0)
        weight[:, :, 1, 1] = 0
        assert weight.abs().max() == 0


@pytest.mark.parametrize("depth", [20, 302])
def test_a_linear_delta_orthogonal_network_keeps_every_norm(depth: int) -> None:
    linear = {"activation": "identity", "normalization": "none"}
    net = network(f"plainnet{depth}", initialization="delta_orthogonal", **linear).double()
    image = torch.randn(5, 1, 12, 12, dtype=torch.float64)
    read = net.stem(image)
    for number, stage in enumerate(net.stages):
        kept = read[:, :, :: 2 if number else 1, :: 2 if number else 1]  # stride 2 keeps every second pixel
        read = stage(read)
        torch.testing.assert_close(read.norm(dim=1), kept.norm(dim=1), rtol=1e-6 * depth, atol=0)
    out = net.head(read.mean((2, 3)))
    assert out.shape == (5, 10)


def test_he_and_orthogonal_do_not_keep_the_norms_that_delta_orthogonal_keeps() -> None:
    image = torch.randn(5, 1, 12, 12)
    for initialization in ("he", "xavier", "orthogonal"):
        linear = {"activation": "identity", "normalization": "none", "initialization": initialization}
        net = network("plainnet56", **linear)
        ratio = (net.stages[0](net.stem(image)).norm() / net.stem(image).norm()).item()
        assert abs(ratio - 1) > 0.1, initialization


def test_rezero_starts_as_the_shortcut_alone_and_is_the_scaled_path_later() -> None:
    net = network("resnet14", residual="rezero").eval()
    h = torch.randn(2, 8, 6, 6)
    block = blocks(net)[1]
    assert torch.equal(block(h), F.relu(h))
    nn.init.constant_(block.path.scale.strength, 0.3)
    path = nn.Sequential(*[module for name, module in block.path.named_children() if name != "scale"])
    torch.testing.assert_close(block(h), F.relu(h + 0.3 * path(h)))


@pytest.mark.parametrize(
    ("name", "options", "paths", "layers"),
    [("resnet20", {}, 9, 2), ("resnet29", {"block": "bottleneck"}, 9, 3), ("resnext29", {"groups": 8}, 9, 3)],
)
def test_fixup_scales_paths_by_their_number_and_zeroes_their_ends(
    name: str, options: dict[str, Any], paths: int, layers: int
) -> None:
    net = network(name, width=32, residual="fixup", normalization="none", **options)
    assert len(blocks(net)) == paths
    for block in blocks(net):
        *others, last = (module for module in block.path.modules() if isinstance(module, nn.Conv2d))
        assert len(others) == layers - 1
        for convolution in others:  # Zhang et al. 2019, rule 2: He's deviation times L^(-1/(2m - 2))
            expected = (2 / convolution.weight[0].numel()) ** 0.5 * paths ** (-1 / (2 * layers - 2))
            assert convolution.weight.std().item() == pytest.approx(expected, rel=0.06)
            assert convolution.bias is None
        assert last.weight.abs().max() == 0
    assert net.head.weight.abs().max() == 0
    stem = net.stem.conv1.weight
    assert stem.std().item() == pytest.approx((2 / stem[0].numel()) ** 0.5, rel=0.15)
    assert torch.equal(net(torch.randn(2, 1, 12, 12)), torch.zeros(2, 10))


def test_a_fixup_block_is_the_equation_of_its_paper() -> None:
    block = blocks(network("resnet14", residual="fixup", normalization="none"))[1]
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    path, h = block.path, torch.randn(2, 8, 6, 6)
    before, within, between, after = (
        path.get_submodule(name).shift * 0.1**0.5 for name in ("shift1", "shift1b", "shift2", "shift")
    )
    hidden = F.relu(F.conv2d(h + before, path.conv1.weight, padding=1) + within)
    second = F.conv2d(hidden + between, path.conv2.weight, padding=1)
    torch.testing.assert_close(block(h), F.relu(path.scale.value * second + after + h))
    assert sum(parameter.numel() for parameter in block.parameters()) == 2 * 8 * 8 * 9 + 5


def test_fixups_scalars_start_at_one_and_zero_and_move_a_tenth_as_far() -> None:
    path = blocks(network("resnet14", residual="fixup", normalization="none"))[1].path
    nn.init.normal_(path.conv2.weight)
    assert path.scale.value.item() == pytest.approx(1)
    assert all(path.get_submodule(name).shift.item() == 0 for name in ("shift1", "shift1b", "shift2", "shift"))
    h = torch.randn(2, 8, 6, 6)
    branch = nn.Sequential(*[module for name, module in path.named_children() if name not in ("scale", "shift")])(h)
    path(h).square().sum().backward()
    torch.optim.SGD(path.parameters(), lr=0.01).step()
    by_scale, by_shift = (2 * branch * branch).sum(), (2 * branch).sum()  # at a scale of 1 and a shift of 0
    assert path.scale.value.item() == pytest.approx(1 - 0.001 * by_scale.item(), rel=1e-4)
    assert path.shift.shift.item() * 0.1**0.5 == pytest.approx(-0.001 * by_shift.item(), rel=1e-4)


@pytest.mark.parametrize("options", [{"residual": "rezero"}, {"residual": "fixup", "normalization": "none"}])
@pytest.mark.parametrize("name", ["resnet14", "resnext11"])
def test_every_parameter_of_a_remedy_moves_within_some_steps(name: str, options: dict[str, Any]) -> None:
    net = network(name, shortcut="projection", **options)
    before = {key: value.clone() for key, value in net.named_parameters()}
    trained(net, steps=6)
    assert not [key for key, value in net.named_parameters() if torch.equal(value, before[key])]
    assert all(value.isfinite().all() for value in net.parameters())


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("plainnet20", {"skip_strength": 0.5}, "plainnet does not take skip_strength"),
        ("diracnet20", {"skip_strength": 1.0}, "diracnet does not take skip_strength"),
        ("vgg11", {"skip_strength": "learned"}, "vgg does not take skip_strength"),
        ("resnet20", {"skip_strength": 1.5}, "skip_strength is 1.5; it is a number from 0 to 1, or learned"),
        ("resnet20", {"skip_strength": "learn"}, "from 0 to 1, or learned"),
        ("resnet20", {"skip_strength": True}, "from 0 to 1, or learned"),
        ("plainnet20", {"residual": "rezero"}, "plainnet does not take residual"),
        ("resnet20", {"residual": "rezero", "skip_strength": 0}, "skip_strength 0 has none"),
        ("resnet20", {"residual": "fixup"}, "does without normalisation (given: batch)"),
        ("resnet20", {"normalization": "group", "width": 12}, "12 channels of layer 1 (stem.conv1) into 8 groups"),
        ("resnet20", {"normalization_groups": 4}, "normalization_groups is for normalization group"),
        ("resnet29", {"block": "bottleneck", "initialization": "delta_orthogonal"},
         "layer 5 (stages.0.1.path.conv1) reads 64 and writes 16; it needs 64 or more"),
        ("resnext20", {"block": "basic", "initialization": "delta_orthogonal"}, "layer 3 (stages.0.0.path.conv2)"),
        ("plainnet20", {"width": 2, "initialization": "delta_orthogonal"}, "layer 1 (stem.conv1) reads 3 and writes 2"),
        ("densenet121", {"initialization": "delta_orthogonal"}, "layer 3 (features.block1.0.conv2) reads 128"),
        ("vgg11", {"width": 2, "initialization": "delta_orthogonal"}, "layer 1 (features.conv1) reads 3"),
    ],
)  # fmt: skip
def test_refused(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        check(name, **options)
    assert words in str(caught.value)


def test_a_layer_that_is_named_in_a_refusal_is_that_layer() -> None:
    names = [layer.name for layer in weight_layers(network("resnet29", block="bottleneck", in_channels=3))]
    assert names[5 - 1] == "stages.0.1.path.conv1"
