from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from repro.errors import UserError
from repro.networks import create_network, weight_layers
from repro.networks.families.block import Block, ZeroPaddedIdentity
from repro.networks.initialization import INITIALIZATIONS
from repro.networks.options import choices


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def multiplications(name: str) -> int:
    network = create_network(name).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.randn(1, 3, 32, 32))
    return counter.get_total_flops()


def blocks(network: nn.Module) -> list[Block]:
    return [module for module in network.modules() if isinstance(module, Block)]


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("resnet110", {}, 1_727_962),  # He et al. 2016, table 6: 1.7M
        ("plainnet110", {}, 1_727_962),  # identity shortcuts have no parameters
        ("resnet101", {"form": "imagenet", "num_classes": 1000, "image_size": 224}, 44_549_160),  # torchvision
        ("resnet18", {"form": "imagenet", "num_classes": 1000, "image_size": 224}, 11_689_512),  # torchvision
        ("resnext101", {"form": "imagenet", "num_classes": 1000, "image_size": 224}, 44_177_704),  # timm
        # The same as resnet101, without its four projections and their normalisations.
        (
            "plainnet101",
            {"form": "imagenet", "num_classes": 1000, "image_size": 224},
            44_549_160 - (64 * 256 + 256 * 512 + 512 * 1024 + 1024 * 2048) - 2 * (256 + 512 + 1024 + 2048),
        ),
        # A diagonal of as many entries as a convolution reads: 3 stages of 36 convolutions less the two that widen.
        ("diracnet110", {}, 1_727_962 + 36 * 16 + (16 + 35 * 32) + (32 + 35 * 64)),
        ("diracnet110", {"diagonal": "held"}, 1_727_962),
    ],
)
def test_number_of_parameters(name, options, expected):
    with torch.device("meta"):  # shapes without numbers
        assert count(create_network(name, **options)) == expected


def test_resnext110_costs_078_of_resnet110():
    assert multiplications("resnext110") / multiplications("resnet110") == pytest.approx(0.78, abs=0.005)


def test_resnext_widths_are_those_of_the_facts():
    network = create_network("resnext11")
    inner = [block.path.conv2 for block in blocks(network)]
    assert [(conv.groups, conv.weight.shape[1]) for conv in inner] == [(8, 4), (8, 8), (8, 16)]
    assert [block.path.conv3.out_channels for block in blocks(network)] == [64, 128, 256]


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("family", ["plainnet", "resnet", "resnext"])
@pytest.mark.parametrize("depth", [20, 110, 164, 200])
def test_depth_counts_the_weight_layers(family, depth, block):
    assert len(weight_layers(create_network(f"{family}{depth}", block=block, width=4))) == depth


@pytest.mark.parametrize("family", ["plainnet", "resnet", "resnext"])
def test_depth_101_in_the_small_bottleneck_form(family):
    assert len(weight_layers(create_network(f"{family}101", block="bottleneck", width=4))) == 101


REFERENCES = {
    "resnet18": torchvision.models.resnet18,
    "resnet101": torchvision.models.resnet101,
    "resnext101": lambda num_classes: timm.create_model("resnext101_32x4d", num_classes=num_classes),
}


@pytest.fixture(scope="module")
def twins(request):
    """Ours in the ImageNet form and theirs, with the same weights: 44 million numbers are drawn once."""
    torch.manual_seed(0)
    theirs = REFERENCES[request.param](num_classes=20)
    ours = create_network(request.param, form="imagenet", num_classes=20, image_size=64)
    state = theirs.state_dict()
    assert [value.shape for value in ours.state_dict().values()] == [value.shape for value in state.values()]
    ours.load_state_dict(dict(zip(ours.state_dict(), state.values(), strict=True)))
    return ours, theirs


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("twins", list(REFERENCES), indirect=True)
def test_imagenet_form_computes_what_torchvision_and_timm_compute(twins, training):
    ours, theirs = (network.train(training) for network in twins)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected = theirs(images)
        got = ours(images)
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()
    for mine, other in zip(ours.buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)


def conv(h, layer, **kwargs):
    return F.conv2d(h, layer.weight, layer.bias, padding=layer.kernel_size[0] // 2, **kwargs)


def test_plainnet_and_resnet_blocks_are_equations_1_and_2():
    h = torch.randn(2, 16, 8, 8)
    plain = blocks(create_network("plainnet14", activation="identity", normalization="none"))[1]
    residual = blocks(create_network("resnet14", activation="identity", normalization="none"))[1]
    residual.load_state_dict(plain.state_dict())
    product = conv(conv(h, plain.path.conv1), plain.path.conv2)
    torch.testing.assert_close(plain(h), product)
    torch.testing.assert_close(residual(h), product + h)


def test_activations_follow_the_first_convolution_and_the_addition():
    block = blocks(create_network("resnet14", normalization="none"))[1]
    h = torch.randn(2, 16, 8, 8)
    torch.testing.assert_close(block(h), F.relu(conv(F.relu(conv(h, block.path.conv1)), block.path.conv2) + h))


def test_basic_resnext_block_is_the_sum_over_paths_of_equation_4():
    paths = 3
    block = blocks(create_network("resnext14", block="basic", groups=paths))[1].eval()
    first, second, norm, last_norm = block.path.conv1, block.path.conv2, block.path.norm1, block.path.norm2
    assert first.weight.shape == (paths * 16, 16, 3, 3)
    nn.init.normal_(norm.running_mean)
    h = torch.randn(2, 16, 8, 8)
    total = torch.zeros_like(h)
    for part in torch.arange(paths * 16).chunk(paths):
        hidden = F.conv2d(h, first.weight[part], padding=1)
        hidden = F.batch_norm(
            hidden, norm.running_mean[part], norm.running_var[part], norm.weight[part], norm.bias[part]
        )
        total += F.conv2d(F.relu(hidden), second.weight[:, part], padding=1)
    torch.testing.assert_close(block(h), F.relu(last_norm(total) + h), rtol=1e-4, atol=1e-5)


def test_bottleneck_resnext_block_is_the_sum_over_its_groups():
    block = blocks(create_network("resnext20", groups=4, normalization="none"))[1]
    one, two, three = block.path.conv1, block.path.conv2, block.path.conv3
    h = torch.randn(2, 64, 8, 8)
    total = torch.zeros_like(h)
    for part in torch.arange(32).chunk(4):
        hidden = F.relu(F.conv2d(h, one.weight[part]))
        total += F.conv2d(F.relu(F.conv2d(hidden, two.weight[part], padding=1)), three.weight[:, part])
    torch.testing.assert_close(block(h), F.relu(total + h), rtol=1e-4, atol=1e-5)


def test_plainnet_is_resnet_without_shortcuts():
    plain, residual = create_network("plainnet20").eval(), create_network("resnet20").eval()
    residual.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, 32, 32)
    assert not torch.allclose(plain(images), residual(images))
    for block in blocks(residual):
        block.shortcut = None
    assert torch.equal(plain(images), residual(images))


def test_zero_padded_identity_keeps_every_second_pixel_and_adds_zero_channels():
    h = torch.randn(2, 3, 5, 5)
    out = ZeroPaddedIdentity(3, 7, stride=2)(h)
    assert out.shape == (2, 7, 3, 3)
    assert torch.equal(out[:, :3], h[..., [0, 2, 4], :][..., [0, 2, 4]])
    assert out[:, 3:].abs().max() == 0


def test_projections_stand_where_the_shape_changes_only():
    network = create_network("resnet20", shortcut="projection")
    assert [type(block.shortcut).__name__ for block in blocks(network)] == [
        *["Identity"] * 3, *["Sequential", "Identity", "Identity"] * 2
    ]  # fmt: skip
    assert create_network("resnet20", form="small", shortcut="projection")(torch.randn(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("shortcut", ["identity", "projection"])
@pytest.mark.parametrize(("name", "form"), [("resnet11", "small"), ("resnet50", "imagenet")])
def test_bottlenecks_run_with_both_kinds_of_shortcut(name, form, shortcut):
    network = create_network(name, form=form, block="bottleneck", shortcut=shortcut, width=8).eval()
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("image_size", [4, 28, 32, 33])
def test_small_form_takes_images_of_any_size_from_four(image_size):
    network = create_network("resnet8", in_channels=1, image_size=image_size)
    assert network(torch.randn(2, 1, image_size, image_size)).shape == (2, 10)


def test_without_normalization_the_convolutions_have_a_bias():
    network = create_network("resnet20", normalization="none", shortcut="projection")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert all(module.bias is not None and module.bias.abs().max() == 0 for module in convolutions)
    with_norm = create_network("resnet20", shortcut="projection")
    assert all(module.bias is None for module in with_norm.modules() if isinstance(module, nn.Conv2d))


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("relu", lambda t: t.clamp(min=0)),
        ("leaky_relu", lambda t: t.clamp(min=0) + 0.3 * t.clamp(max=0)),
        ("sigmoid", lambda t: 1 / (1 + (-t).exp())),
        ("softplus", lambda t: (1 + (7 * t).exp()).log() / 7),
        ("tanh", lambda t: (t.exp() - (-t).exp()) / (t.exp() + (-t).exp())),
        ("identity", lambda t: t),
    ],
)
def test_activation_is_the_named_function_everywhere(name, function):
    block = blocks(create_network("plainnet8", activation=name, gamma=7.0, slope=0.3, normalization="none"))[0]
    h = torch.randn(2, 16, 6, 6)
    expected = function(conv(function(conv(h, block.path.conv1)), block.path.conv2))
    torch.testing.assert_close(block(h), expected, rtol=1e-4, atol=1e-5)


def test_linear_network_without_normalization_is_affine():
    network = create_network("resnet20", activation="identity", normalization="none").double()
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)
    x, y = torch.randn(2, 1, 3, 16, 16, dtype=torch.float64)
    at_zero = network(torch.zeros_like(x))
    torch.testing.assert_close(network(x + y) - at_zero, network(x) + network(y) - 2 * at_zero)


def test_he_initialization_has_variance_two_over_fan_in():
    torch.manual_seed(0)
    network = create_network("resnext20", width=64, num_classes=1000)
    for layer in weight_layers(network):
        weight = layer.module.weight
        assert weight.var().item() * weight[0].numel() == pytest.approx(2, rel=0.1), layer.name
        assert abs(weight.mean().item()) < 0.1 * weight.std().item(), layer.name
    head = weight_layers(network)[-1].module
    assert head.bias.abs().max() == 0


def test_every_initialization_that_may_be_named_exists():
    assert set(INITIALIZATIONS) == set(choices("initialization"))


def test_nothing_that_a_hook_has_seen_is_overwritten_later():
    network = create_network("resnet20")
    seen, copies = [], []

    def keep(_module, inputs, output):
        seen.extend([inputs[0], output])
        copies.extend([inputs[0].detach().clone(), output.detach().clone()])

    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(keep)
    network(torch.randn(2, 3, 16, 16)).sum().backward()
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(seen, copies, strict=True))


def _reference(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Pre-activated basic blocks (He et al. 2016, "Identity mappings", Fig. 1 b), written out over the weights."""
    weights = dict(network.named_parameters()) | dict(network.named_buffers())

    def normalised(h: torch.Tensor, name: str) -> torch.Tensor:
        mean, variance = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        h = (h - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
        return (h * weights[f"{name}.weight"][:, None, None] + weights[f"{name}.bias"][:, None, None]).clamp(min=0)

    h = F.conv2d(images, weights["stem.conv1.weight"], padding=1)
    for stage in range(3):
        for block in range(2):
            name, stride = f"stages.{stage}.{block}.path", 2 if stage and not block else 1
            path = F.conv2d(normalised(h, f"{name}.norm1"), weights[f"{name}.conv1.weight"], stride=stride, padding=1)
            path = F.conv2d(normalised(path, f"{name}.norm2"), weights[f"{name}.conv2.weight"], padding=1)
            skipped = h[:, :, ::stride, ::stride]
            h = path + torch.cat([skipped, torch.zeros_like(path[:, skipped.shape[1] :])], 1)
    h = normalised(h, "last.0").mean((2, 3))
    return h @ weights["head.weight"].T + weights["head.bias"]


def test_preactivation_is_as_published() -> None:
    torch.manual_seed(0)
    network = create_network("resnet14", width=4, preactivation=True).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.bias):
                tensor.data.normal_()
            for tensor in (module.running_var, module.weight):
                tensor.data.uniform_(0.5, 2)
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(network(images), _reference(network, images), rtol=1e-4, atol=1e-4)
    assert len(weight_layers(network)) == 14
    assert not [name for name in network.state_dict() if name.startswith(("stem.norm", "stem.activation"))]


@pytest.mark.parametrize("name", ["plainnet11", "resnet11", "resnext11"])
def test_preactivation_goes_with_every_family_and_form(name: str) -> None:
    options = {"block": "bottleneck"} if not name.startswith("resnext") else {}
    network = create_network(name, width=8, preactivation=True, normalization="none", **options)
    assert network(torch.randn(2, 3, 32, 32)).isfinite().all()
    large = create_network("resnet18", form="imagenet", width=8, preactivation=True, shortcut="projection")
    assert large(torch.randn(2, 3, 64, 64)).isfinite().all()
    with pytest.raises(UserError, match="fixup activates after the addition"):
        create_network("resnet8", residual="fixup", normalization="none", preactivation=True)
