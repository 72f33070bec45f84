"""Skip connections to the output around any network."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import timm
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor, nn

from repro.errors import UserError
from repro.networks import create_network
from repro.networks.skip import Pick, SkipToOutput, pool

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def wrapped(name: str = "vgg11", neurons: int = 500, seed: int = 0, **options: object) -> SkipToOutput:
    head = options.pop("head", "add")
    network = create_network(name, **{"num_classes": 10, "width": 4, **options})
    return SkipToOutput(network, neurons, seed, image=IMAGES[:1], num_classes=10, head=head)  # type: ignore[arg-type]


def by_hand(model: SkipToOutput, images: Tensor) -> Tensor:
    """Every activation's outputs in a row, in forward order; then the chosen columns."""
    network = copy.deepcopy(model.network)
    for module in network.modules():
        module._forward_hooks.clear()
    seen: list[Tensor] = []
    names = list(dict.fromkeys(site.name for site in model.sites))
    for name in names:
        network.get_submodule(name).register_forward_hook(lambda _m, _i, output: seen.append(output.flatten(1)))
    network(images)
    return torch.cat(seen, 1)[:, model.chosen]


@pytest.mark.parametrize("name", ["vgg11", "cnn13", "resnet8", "fc12", "mlp"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_output_reads_exactly_the_chosen_neurons(name: str, layout: torch.memory_format) -> None:
    options: dict[str, object] = {"mlp": {"width": None, "hidden": [50, 30]}, "fc12": {"width": 10}}.get(name, {})
    model = wrapped(name, 60, activation="softplus", **options).to(memory_format=layout).eval()
    images = IMAGES.to(memory_format=layout)
    psi, logits = model.features(images)
    expected = by_hand(model, images)
    assert torch.equal(psi, expected)
    assert torch.allclose(model(images), model.network(images) + expected @ model.skip.weight.T, atol=1e-5)
    assert torch.equal(logits, model.network(images))


@pytest.mark.slow
def test_the_choice_is_uniform_without_replacement_and_has_its_own_seed() -> None:
    torch.manual_seed(1)
    first = wrapped(seed=3).chosen
    torch.manual_seed(2)
    assert torch.equal(first, wrapped(seed=3).chosen)
    assert not torch.equal(first, wrapped(seed=4).chosen)
    assert len(first.unique()) == 500
    size = sum(site.neurons for site in wrapped().sites)
    counts = torch.zeros(size)
    for seed in range(40):
        counts[wrapped(seed=seed).chosen] += 1
    tenths = counts[: size // 10 * 10].reshape(10, -1).sum(1).numpy()
    assert stats.chisquare(tenths).pvalue > 1e-4


def test_gradients_are_those_of_plain_indexing() -> None:
    flat = torch.randn(3, 7, dtype=torch.float64, requires_grad=True)
    index = torch.tensor([5, 0, 2])
    assert torch.autograd.gradcheck(lambda x: Pick.apply(x, index), (flat,))
    model = wrapped("vgg11", 300, activation="sigmoid")
    labels = torch.arange(4)
    F.cross_entropy(model(IMAGES), labels).backward()
    found = {name: parameter.grad.clone() for name, parameter in model.network.named_parameters()}
    model.zero_grad()
    seen: list[Tensor] = []
    for site in model.sites:
        model.network.get_submodule(site.name).register_forward_hook(lambda _m, _i, output: seen.append(output))
    logits = model.network(IMAGES)
    psi = torch.cat([each.flatten(1) for each in seen], 1)[:, model.chosen]
    F.cross_entropy(logits + psi @ model.skip.weight.T, labels).backward()
    for name, parameter in model.network.named_parameters():
        assert torch.allclose(parameter.grad, found[name], atol=1e-7), name


def test_heads() -> None:
    add, replace = wrapped(head="add").eval(), wrapped(head="replace").eval()
    assert torch.allclose(replace(IMAGES), replace.features(IMAGES)[0] @ replace.skip.weight.T, atol=1e-6)
    assert not replace.network.classifier.output.weight.requires_grad
    assert add.network.classifier.output.weight.requires_grad
    F.cross_entropy(replace(IMAGES), torch.arange(4)).backward()
    few = wrapped(neurons=3, head="replace")  # the layers above the last of them are read by nothing
    F.cross_entropy(few(IMAGES), torch.arange(4)).backward()
    assert sum(not parameter.requires_grad for parameter in few.parameters()) > 4
    for model in (replace, few):
        for name, parameter in model.named_parameters():  # DDP needs a gradient for each
            assert parameter.requires_grad == (parameter.grad is not None), name
    fill = wrapped(neurons=500, head="fill")
    assert len(fill.chosen) == 500 - 128  # the output layer reads 128 of them already
    assert fill.chosen.max() < sum(site.neurons for site in fill.sites)
    assert all(site.name != "classifier.activation2" for site in fill.sites)


def test_the_skips_part_of_the_output_is_scaled() -> None:
    network = create_network("mlp", hidden=[7, 5])
    whole = SkipToOutput(network, 9, 0, image=IMAGES[:1], num_classes=10)
    for scale in (0.3, "learned"):
        model = SkipToOutput(copy.deepcopy(network), 9, 0, image=IMAGES[:1], num_classes=10, scale=scale)  # type: ignore[arg-type]
        model.skip.load_state_dict(whole.skip.state_dict())
        if scale == "learned":
            assert torch.equal(model(IMAGES), whole(IMAGES))
            nn.init.constant_(model.scale.strength, 0.3)
        psi, logits = whole.features(IMAGES)
        torch.testing.assert_close(model(IMAGES), logits + 0.3 * psi @ whole.skip.weight.T)


def test_more_neurons_than_there_are_is_refused_with_their_number() -> None:
    network = create_network("mlp", hidden=[7, 5])
    with pytest.raises(UserError, match=r"model.skip_neurons is 13; allowed: 1 to 12, as many hidden neurons"):
        SkipToOutput(network, 13, 0, image=IMAGES[:1], num_classes=10)
    assert len(SkipToOutput(network, 12, 0, image=IMAGES[:1], num_classes=10).chosen) == 12
    with pytest.raises(UserError, match=r"is 5; allowed: 6 to 12, .* has, the last 5 of which the output layer reads"):
        SkipToOutput(network, 5, 0, image=IMAGES[:1], num_classes=10, head="fill")


def test_a_checkpoint_with_other_neurons_is_refused() -> None:
    state = wrapped(seed=1).state_dict()
    wrapped(seed=1).load_state_dict(state)
    with pytest.raises(UserError, match=r"the checkpoint connects 500 neurons, other ones than the 500 of seed 2"):
        wrapped(seed=2).load_state_dict(state)
    with pytest.raises(UserError, match="other ones than the 400"):
        wrapped(neurons=400, seed=1).load_state_dict(state)


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224", "convnext_atto", "mobilenetv3_small_100"])
def test_timms_networks_can_be_wrapped(name: str) -> None:
    options = {"img_size": 32} if "vit" in name else {}
    network = timm.create_model(name, num_classes=10, **options).eval()
    model = SkipToOutput(network, 200, 0, image=IMAGES[:1], num_classes=10).eval()
    assert torch.equal(model.features(IMAGES)[0], by_hand(model, IMAGES))


def test_an_activation_that_stands_in_several_places_counts_in_each() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.head = nn.Linear(12, 5), nn.Linear(5, 4), nn.Linear(4, 10)
            self.relu = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.head(self.relu(self.second(self.relu(self.first(x.flatten(1))))))
            return result

    images = torch.randn(4, 3, 2, 2)
    model = SkipToOutput(Shared(), 9, 0, image=images[:1], num_classes=10)
    assert [(site.call, site.neurons) for site in model.sites] == [(0, 5), (1, 4)]
    assert torch.equal(model.features(images)[0], by_hand(model, images))


def test_a_network_without_activations_or_without_the_named_layer_is_refused() -> None:
    with pytest.raises(UserError, match="calls no activation module"):
        pool(nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)), IMAGES[:1])

    class Wrong(nn.Sequential):
        def skip_layer_names(self) -> list[str]:
            return ["nowhere"]

    with pytest.raises(UserError, match="names the skip layer 'nowhere', which it does not have"):
        pool(Wrong(nn.Flatten(), nn.Linear(3072, 10)), IMAGES[:1])


@pytest.mark.slow
def test_it_compiles_without_a_break() -> None:
    # In a process of its own: the tests' type checks cannot be compiled.
    code = """
import torch
from repro.networks import create_network
from repro.networks.skip import SkipToOutput
torch.manual_seed(0)
images = torch.randn(4, 3, 32, 32)
network = create_network("vgg11", width=4, activation="softplus")
model = SkipToOutput(network, 300, 0, image=images[:1], num_classes=10)
compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
assert torch.allclose(compiled(images), model(images), atol=1e-5)
compiled(images).sum().backward()
assert model.skip.weight.grad.abs().sum() > 0
"""
    subprocess.run([sys.executable, "-c", code], check=True)
