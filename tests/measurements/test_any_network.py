"""What acts is what is measured, on networks of every kind."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.measurements import take
from repro.measurements.mode import measurement_mode
from repro.measurements.passes import run
from repro.networks.layers import Survey, WeightLayer, survey
from repro.networks.nested import mapped, tensors
from repro.networks.passing import call, fitted, unwrapped
from tests.measurements.zoo import ZOO

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections", "ignore:.*quantization is deprecated")
LARGE = {
    name for name in ZOO if name.startswith(("torchvision s", "torchvision d", "timm resnet", "timm nf", "timm eff"))
}
EACH = [pytest.param(name, marks=pytest.mark.slow if name in LARGE else []) for name in ZOO]
EAGER = {"torchvision detection"}
"""Networks that need targets to train."""


def made(name: str) -> tuple[nn.Module, Any]:
    torch.manual_seed(0)
    network = ZOO[name].make()
    return network, ZOO[name].inputs()


def listened(network: nn.Module, known: Survey, inputs: Any) -> dict[str, dict[str, Tensor]]:
    """Weight, reading and result of every layer in one pass in eval mode."""
    found: dict[str, dict[str, Tensor]] = {layer.name: {} for layer in known.layers}

    def keep(what: str) -> Any:
        return lambda layer, tensor: found[layer.name].update({what: tensor.detach().clone()})

    network = unwrapped(network)
    with measurement_mode(network):
        inputs = fitted(network, inputs)
        run(network, inputs, known.layers, weight=keep("weight"), read=keep("read"), write=keep("written"))
    return found


def multiplied(layer: WeightLayer, weight: Tensor, read: Tensor) -> Tensor | None:
    """What the layer returns of what it reads, up to a bias, by another way than the network's."""
    weight, read = weight.double(), read.double()
    options = dict(layer.options)
    if layer.kind in ("convolution", "transposed"):
        name = f"conv{'_transpose' if layer.kind == 'transposed' else ''}{weight.ndim - 2}d"
        options.pop("output_padding") if layer.kind == "convolution" else None
        if (border := getattr(layer.module, "padding_mode", "zeros")) != "zeros":
            read, options["padding"] = F.pad(read, layer.module._reversed_padding_repeated_twice, mode=border), 0
        result: Tensor = getattr(F, name)(read, weight, None, **options)
        return result
    if layer.kind == "linear":
        return torch.einsum("oi,...i->...o", weight, read)
    by_modes = {
        ("input", "output"): "io,...i->...o",
        ("output", "input"): "oi,...ij->...oj",
        ("group", "input", "output"): "gio,ngi->ngo",
    }
    equation = by_modes.get(layer.modes) if layer.kind == "product" else None
    return None if equation is None else torch.einsum(equation, weight, read)


@pytest.mark.parametrize("name", EACH)
def test_outputs_are_those_of_the_weights_that_are_seen(name: str) -> None:
    network, inputs = made(name)
    known = survey(network, inputs)
    case = ZOO[name]
    share = known.seen.seen / known.seen.total
    assert case.seen <= share <= 1
    assert (share == 1) == (not known.seen.missing)
    assert known.seen.line.startswith("seen: 100 % of" if share == 1 else "seen: ")
    assert ("not seen: " in known.seen.line) == (share < 1)
    names = [layer.name for layer in known.layers]
    assert len(set(names)) == len(names)
    assert set(case.names) <= set(names)
    compared = 0
    for layer, parts in zip(known.layers, listened(network, known, inputs).values(), strict=True):
        assert parts["weight"].ndim == len(layer.modes)
        if layer.layout == "none":  # only some samples come by
            continue
        if "written" not in parts:
            own = dict(unwrapped(network).named_parameters())[layer.name.partition("#")[0]]
            assert layer.kind == "recurrent"
            assert torch.equal(parts["weight"], own)
            continue
        expected = multiplied(layer, parts["weight"], parts["read"])
        if expected is None:
            continue
        compared += 1
        written = parts["written"].double()
        axis = written.ndim - 1 if layer.channel == -1 else written.ndim - 2 if layer.channel == -2 else 1
        other = (written - expected).transpose(0, axis).flatten(1)  # a bias: one number a channel
        coarse = {torch.float16: 2e-3, torch.bfloat16: 2e-2}.get(parts["written"].dtype, 1e-5)
        assert (other - other[:, :1]).abs().max() <= coarse * max(float(expected.abs().max()), 1)
    assert compared


def quiet(*args: Any, **options: Any) -> list[Any]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="not measured")
        return take(*args, **options)


def squares(output: Any, _labels: object) -> Tensor:
    return torch.stack([each.double().square().mean() for each in tensors(output) if each.is_floating_point()]).sum()


@pytest.mark.parametrize("name", EACH)
def test_nothing_is_changed_and_values_are_numpys(name: str) -> None:
    network, inputs = made(name)
    known = survey(network, inputs)
    plain = unwrapped(network)
    trainable = any(parameter.requires_grad for parameter in plain.parameters()) and name not in EAGER
    for parameter in plain.parameters():
        parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
    mine = [*tensors(inputs), *plain.state_dict().values(), *(p.grad for p in plain.parameters() if p.grad is not None)]
    before = [tensor.clone() for tensor in mine]
    modes = [module.training for module in plain.modules()]
    asked = [
        "weights",
        *(["gradients"] if trainable else []),
        *([] if name in LARGE else ["representations", "errors"]),
    ]
    asked = [each for each in asked if trainable or each != "errors"]
    state = torch.get_rng_state()
    readings = quiet(network, inputs, loss=squares, measurements=asked, known=known)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(one, other) for one, other in zip(mine, before, strict=True))
    assert modes == [module.training for module in plain.modules()]
    assert not any(module._forward_pre_hooks.keys() & {1} for module in plain.modules())
    by_key = {(each.measurement, each.layer, each.mode): each for each in readings}
    assert len(by_key) == len(readings), "one value for one key"
    acted = listened(network, known, inputs)
    for layer in known.layers[:4]:
        if layer.first != layer.index:
            assert ("weights", layer.index, layer.modes[0]) not in by_key
            continue
        weight = acted[layer.name]["weight"].double().numpy()
        for axis, mode in enumerate(layer.modes):
            values = np.linalg.svd(np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1), compute_uv=False)
            found = by_key["weights", layer.index, mode].values
            assert found["sigma_max"] == pytest.approx(values[0], rel=1e-6)
            assert found["sigma_min"] == pytest.approx(values[-1], rel=1e-5, abs=1e-8 * values[0])
    if trainable:
        gradients_are_autograds(network, inputs, known, by_key)


def gradients_are_autograds(network: nn.Module, inputs: Any, known: Survey, by_key: dict[Any, Any]) -> None:
    """Of parameters that act as they are."""
    plain = unwrapped(network)
    inputs = fitted(plain, inputs)
    torch.manual_seed(0)
    for parameter in plain.parameters():
        parameter.grad = None
    buffers = copy.deepcopy([*plain.buffers()])
    with torch.random.fork_rng(), torch.compiler.set_stance("force_eager"):
        squares(call(plain.train(), mapped(torch.clone, inputs)), None).backward()
    for buffer, old in zip(plain.buffers(), buffers, strict=True):
        buffer.copy_(old)
    random = any(isinstance(module, nn.Dropout) and module.p > 0 for module in plain.modules()) or any(
        getattr(module, "dropout", 0) for module in plain.modules() if isinstance(module, nn.MultiheadAttention)
    )
    compared = 0
    for layer in known.layers:
        if layer.parameter is None or layer.view is not None or layer.first != layer.index or random:
            continue
        reading = by_key.get(("gradients", layer.index, layer.modes[0]))
        if layer.parameter.grad is None or reading is None:
            assert reading is None or random
            continue
        compared += 1
        largest = torch.linalg.matrix_norm(layer.parameter.grad.double().flatten(1), 2).item()
        coarse = 1e-2 if layer.parameter.dtype.itemsize < 4 else 1e-4
        assert reading.values["sigma_max"] == pytest.approx(largest, rel=coarse, abs=1e-9)
