"""CNN13, VGG, DenseNet121 and the fully connected networks: sizes by hand, and torchvision's with the same weights."""

from __future__ import annotations

import pytest
import torch
import torchvision
from scipy import stats
from torch import nn

from repro.errors import UserError
from repro.networks import check, create_network, weight_layers
from repro.networks.skip import pool

MNIST = {"in_channels": 1, "image_size": 28}


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def neurons(network: nn.Module, channels: int, size: int) -> int:
    return sum(site.neurons for site in pool(network, torch.zeros(1, channels, size, size)))


def test_cnn13_has_the_neurons_and_layers_that_the_paper_counts() -> None:
    network = create_network("cnn13", **MNIST)
    assert len(weight_layers(network)) == 13
    # 28² · 64 · 2 + 14² · 64 + 14² · 128 + 7² · 128 + 7² · 256 · 2 + 4² · 256 · 2 + 2² · 256 · 2 + 256
    # = 100,352 + 12,544 + 25,088 + 6,272 + 25,088 + 8,192 + 2,048 + 256
    assert neurons(network, 1, 28) == 179_840
    # Each convolution in · out · side² + out: 640 + 2 · 36,928 + 73,856 + 147,584 + 295,168 + 65,792 + 5 · 590,080,
    # and the output 2,570.
    assert parameters(network) == 640 + 2 * 36_928 + 73_856 + 147_584 + 295_168 + 65_792 + 5 * 590_080 + 2_570


def test_cnn13_as_printed_has_a_convolution_more() -> None:
    network = create_network("cnn13", printed=True, **MNIST)
    assert len(weight_layers(network)) == 14
    assert neurons(network, 1, 28) == 204_928  # 14² · 128 = 25,088 more


def test_cnn13_with_max_pooling_has_the_sizes_of_the_strided_one() -> None:
    pooled = create_network("cnn13", pooling="maxpool", **MNIST)
    assert parameters(pooled) == parameters(create_network("cnn13", **MNIST))
    sizes = []
    for module in pooled.features:
        if isinstance(module, nn.MaxPool2d):
            module.register_forward_hook(lambda _m, _i, output: sizes.append(output.shape[-1]))
    pooled(torch.zeros(1, 1, 28, 28))
    assert sizes == [14, 7, 4, 2, 1]


@pytest.mark.parametrize(("depth", "ours", "theirs"), [(11, 11, "vgg11"), (13, 13, "vgg13"), (16, 16, "vgg16")])
def test_vgg_is_torchvisions_up_to_the_classifier(depth: int, ours: int, theirs: str) -> None:
    network = create_network(f"vgg{depth}").eval()
    with torch.device("meta"):  # its classifier has a hundred million numbers that nobody needs
        reference = getattr(torchvision.models, theirs)(weights=None).eval()
    reference.features.to_empty(device="cpu")
    assert len(weight_layers(network)) == ours
    with torch.no_grad():
        for mine, other in zip(network.features.parameters(), reference.features.parameters(), strict=True):
            other.copy_(mine)
        images = torch.randn(2, 3, 32, 32)
        assert torch.allclose(network.features(images), reference.features(images), atol=1e-5)
    # torchvision's convolutions, and 512 · 128 + 128, 128 · 128 + 128, 128 · 10 + 10.
    assert parameters(network) == parameters(reference.features) + 65_664 + 16_512 + 1_290


# The convolutions' outputs on 32² images: 64 · 32² = 65,536, 128 · 16² = 32,768, 256 · 8² = 16,384, 512 · 4² = 8,192,
# 512 · 2² = 2,048 for each convolution of a stage, and 2 · 128. Strided: 64 · 16², 128 · 8², 256 · 4², 512 · 2², 512.
CONVOLUTIONS = (65_536, 32_768, 16_384, 8_192, 2_048)
STRIDED = 16_384 + 8_192 + 4_096 + 2_048 + 512


@pytest.mark.parametrize(("depth", "counts"), [(11, (1, 1, 2, 2, 2)), (13, (2,) * 5), (16, (2, 2, 3, 3, 3))])
def test_vggs_neurons(depth: int, counts: tuple[int, ...]) -> None:
    expected = sum(count * size for count, size in zip(counts, CONVOLUTIONS, strict=True)) + 256
    assert neurons(create_network(f"vgg{depth}"), 3, 32) == expected
    strided = create_network(f"vgg{depth}", pooling="stride")
    assert neurons(strided, 3, 32) == expected + STRIDED
    assert len(weight_layers(strided)) == depth + 5


def test_densenet121_is_torchvisions_with_the_same_weights() -> None:
    network = create_network("densenet121", form="imagenet", num_classes=1000).eval()
    reference = torchvision.models.densenet121(weights=None).eval()
    assert parameters(network) == parameters(reference) == 7_978_856
    theirs = list(reference.state_dict().values())
    network.load_state_dict(dict(zip(network.state_dict(), theirs, strict=True)))
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        assert torch.allclose(network(images), reference(images), atol=1e-4)


def test_densenet121_for_small_images() -> None:
    network = create_network("densenet121")
    assert len(weight_layers(network)) == 121
    # torchvision's 7,978,856, its 7x7 stem 9,408, the stem's normalisation 128 and the head 1,025,000 less; 3x3 stem
    # 1,728 and head 10,250 more.
    assert parameters(network) == 7_978_856 - 9_408 - 128 - 1_025_000 + 1_728 + 10_250
    # First dense block, 32 x 32: six layers that activate 64 + 32 i and then 128 channels: (864 + 768) · 1,024.
    assert neurons(network, 3, 32) == 1_671_168


def test_fully_connected_networks() -> None:
    deep = create_network("fc150", activation="softplus")
    assert [layer.module.weight.shape[0] for layer in weight_layers(deep)] == [10] * 151
    assert neurons(deep, 3, 32) == 1_500
    assert parameters(deep) == 3_072 * 10 + 10 + 150 * 110
    wide = create_network("mlp", **MNIST)
    assert neurons(wide, 1, 28) == 784 + 300
    assert parameters(wide) == 784 * 785 + 300 * 785 + 10 * 301
    assert [layer.module.weight.shape[0] for layer in weight_layers(create_network("mlp", hidden=[7]))] == [7, 10]


@pytest.mark.parametrize(("name", "variance"), [("truncated", 0.7737413), ("truncated_corrected", 1.0), ("he", 1.0)])
def test_initial_variance_is_two_over_fan_in(name: str, variance: float) -> None:
    weight = create_network("mlp", hidden=[1000], initialization=name, **MNIST).classifier.linear1.weight.detach()
    assert weight.var().item() == pytest.approx(variance * 2 / 784, rel=0.01)
    deviation = (2 / 784) ** 0.5 / (stats.truncnorm.std(-2, 2) if name == "truncated_corrected" else 1)
    largest = weight.abs().max().item() / deviation
    assert largest <= 2 + 1e-6 if name != "he" else largest > 3


def test_mistakes() -> None:
    for name, options, message in [
        ("cnn14", {}, "cnn has depths 13: nearest 13"),
        ("vgg12", {}, "nearest 11 and 13"),
        ("vgg11", {"image_size": 28}, "too small for vgg11"),
        ("densenet121", {"image_size": 7}, "too small for densenet121; it needs 8 or more"),
        ("densenet121", {"image_size": 28, "form": "imagenet"}, "it needs 29 or more"),
        ("vgg11", {"pooling": "average"}, "unknown pooling 'average'"),
        ("mlp", {"hidden": [3, 0]}, "whole numbers from 1 up"),
        ("resnet20", {"pooling": "stride"}, "does not take pooling"),
        ("vgg11", {"gamma": 0.0, "activation": "softplus"}, "above 0"),
    ]:
        with pytest.raises(UserError, match=message):
            check(name, **{**MNIST, "image_size": 32, **options})
