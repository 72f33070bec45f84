"""Every family of timm's that a user is likely to bring."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.layers import set_fused_attn

from repro.measurements import take

FAMILIES = {
    "resnet18": 64,
    "resnext50_32x4d": 64,
    "densenet121": 64,
    "vgg11_bn": 64,
    "vit_tiny_patch16_224": 64,
    "convnext_atto": 64,
    "mixer_s32_224": 64,
    "swin_tiny_patch4_window7_224": 112,
    "mobilenetv3_small_100": 64,
    "efficientnet_b0": 64,
}
BEFORE = ("representations", "outputs", "errors", "distributions", "amplification", "distance")


@pytest.mark.slow
@pytest.mark.parametrize("name", list(FAMILIES))
def test_a_family_of_timms(name: str) -> None:
    torch.manual_seed(0)
    set_fused_attn(enable=False)
    size = FAMILIES[name]
    options = {"img_size": size} if any(each in name for each in ("vit", "mixer", "swin")) else {}
    network = timm.create_model(name, num_classes=5, **options)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images = torch.randn(4, 3, size, size)
    readings = take(network, images, torch.arange(4), held_out=images.flip(3), measurements=BEFORE)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    layers = {
        measurement: {reading.layer for reading in readings if reading.measurement == measurement}
        for measurement in BEFORE
    }
    count = max(layers["outputs"])
    assert layers["representations"] == set(range(count))
    assert layers["outputs"] == set(range(1, count + 1))
    assert layers["amplification"] <= layers["representations"]
    assert len(layers["amplification"]) > count / 2
    assert layers["distributions"] == {1, count - 2}
    modes = {reading.mode for reading in readings if reading.measurement == "representations"}
    assert {"matrix", "channel"} <= modes
    for reading in readings:
        if reading.measurement == "representations" and reading.mode == "matrix":
            assert reading.values["rank"] <= 4  # of so many images: the samples are the first axis
