from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from repro.measurements import Reading, take
from repro.networks import create_network
from repro.networks.skip import SkipToOutput

IMAGES = torch.randn(20, 3, 32, 32, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(20) % 10


def model(neurons: int = 60) -> SkipToOutput:
    torch.manual_seed(0)
    network = create_network("mlp", hidden=[50, 30], activation="sigmoid", initialization="truncated")
    return SkipToOutput(network, neurons, 0, image=IMAGES[:1], num_classes=10)


def found(network: torch.nn.Module, **options: object) -> dict[str, Reading]:
    return {each.mode: each for each in take(network, IMAGES, measurements=["features"], **options)}  # type: ignore[arg-type]


def test_psi_has_full_rank_and_lapacks_condition_number() -> None:
    network = model()
    reading = found(network)["psi"].values
    with torch.no_grad():
        psi = network.eval().features(IMAGES)[0].double().numpy()
    assert reading["rank"] == reading["images"] == 20  # Lemma 3.2
    assert reading["condition_number"] == pytest.approx(np.linalg.cond(psi), rel=1e-5)
    assert found(model(12))["psi"].values["rank"] == 12  # N neurons are needed for N images


def test_below_lemma_2_1s_threshold_no_image_is_wrong() -> None:
    network = model()
    before = found(network, labels=LABELS)["loss"].values
    assert before["threshold"] == pytest.approx(math.log(2) / 20)
    assert before["errors"] > 0
    assert before["cross_entropy"] > before["threshold"]
    with torch.no_grad():  # the ray of Theorem 3.4: along V + s D with Ψ D = Y the loss falls to 0
        network.eval()
        psi, logits = network.features(IMAGES)
        target = 50 * torch.nn.functional.one_hot(LABELS, 10).double() - logits.double()
        network.skip.weight.copy_((torch.linalg.pinv(psi.double()) @ target).mT.float())
    after = found(network, labels=LABELS)["loss"].values
    assert after["cross_entropy"] < after["threshold"]
    assert after["errors"] == 0


def test_other_networks_have_none() -> None:
    assert not found(create_network("mlp", hidden=[5]), labels=LABELS)
