"""Singular values that are kept are those of the matrices that κ is of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from repro.measurements import take
from repro.spectra import unfold


def test_all_of_them_in_every_mode() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(80, 4))
    images = torch.randn(6, 3, 4, 4)
    names = ["weights", "representations", "outputs", "gradients", "errors", "operators", "distance"]
    readings = take(network, images, torch.arange(6) % 4, measurements=names, spectra=True)
    found = {(each.measurement, each.layer, each.mode): each.spectrum for each in readings}
    weight = network[0].weight.detach()
    for axis, mode in enumerate(("output", "input", "height", "width")):
        wanted = np.linalg.svd(unfold(weight, axis).double().numpy(), compute_uv=False)
        np.testing.assert_allclose(found["weights", 1, mode], wanted, rtol=1e-5)
    wanted = np.linalg.svd(images.flatten(1).double().numpy(), compute_uv=False)
    np.testing.assert_allclose(found["representations", 0, "matrix"], wanted, rtol=1e-5)
    assert len(found["operators", 1, "circular"]) == 16 * 3
    for each in readings:
        if each.measurement == "distance":
            assert each.spectrum is None
            continue
        if each.spectrum is None:
            assert each.mode == "padded"
            continue
        assert each.spectrum.dtype == np.float32
        assert each.spectrum[0] == pytest.approx(each.values["sigma_max"], rel=1e-6)
        assert each.spectrum[-1] == pytest.approx(each.values["sigma_min"], rel=1e-4, abs=1e-6)
        assert (np.diff(each.spectrum) <= 0).all()
    assert all(each.spectrum is None for each in take(network, images, measurements=["weights"]))
