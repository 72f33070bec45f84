"""The features that a network with skip connections hands to its output, and whether they are fitted."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from repro.measurements.description import FigureSpec, Measurement, PanelSpec
from repro.measurements.reading import Reading

if TYPE_CHECKING:
    from repro.measurements.probe import Probe


def features(probe: Probe) -> Iterator[Reading]:
    """Ψ on the probe: its conditioning and rank (Nguyen, Lemma 3.2), and Lemma 2.1; nothing for other networks.

    Mode ``psi``: κ, σmax, σmin and rank of the N × M matrix of the probe's N images; ``images`` is N, which the rank
    reaches for almost every U in theory. Mode ``loss`` (with labels): the probe's ``cross_entropy``, Lemma 2.1's
    ``threshold`` log 2 / N, below which every image is classified rightly, and ``errors``, how many are not.
    """
    import torch.nn.functional as F

    from repro.measurements.conditioning import values
    from repro.networks.skip import SkipToOutput
    from repro.spectra import conditioning

    network = probe.network
    if not isinstance(network, SkipToOutput) or probe.ranks.rank != 0:
        return
    psi, _ = network.features(probe.images.clone())
    last = probe.layers[-1]
    count = float(len(psi))
    yield Reading("features", last.index, last.name, "psi", {**values(conditioning([psi]), 0), "images": count})
    if probe.labels is not None:
        scores = probe.scores()
        quantities = {
            "cross_entropy": F.cross_entropy(scores.double(), probe.labels).item(),
            "threshold": math.log(2) / count,
            "errors": float((scores.argmax(1) != probe.labels).sum()),
        }
        yield Reading("features", last.index, last.name, "loss", quantities)


FEATURES = Measurement(
    name="features",
    says="rank and κ of the features Ψ that skip connections bring to the output, and whether they fit the labels",
    take=features,
    figures=(
        FigureSpec(
            name="features",
            heading="Features that skip to the output",
            caption="""Left: the rank of the matrix Ψ of the chosen neurons' outputs on the fixed probe batch,
                divided by the number of images; singular values below 1.2e-7 of the largest count as zero. Right:
                the probe's cross-entropy divided by log 2 / N; below 1 every image is classified correctly (Lemma
                2.1).""",
            panels=(
                PanelSpec(
                    title="Rank of Ψ on the probe",
                    y="rank / images",
                    mode="psi",
                    quantity="rank",
                    over="images",
                    against="step",
                    scale="linear",
                    limits=(0.0, 1.04),
                    reference=1.0,
                ),
                PanelSpec(
                    title="Loss on the probe, over Lemma 2.1's threshold",
                    y="cross-entropy / (log 2 / N)",
                    mode="loss",
                    quantity="cross_entropy",
                    over="threshold",
                    against="step",
                    reference=1.0,
                ),
            ),
        ),
    ),
)
