"""The features that a network with skip connections hands to its output, and whether they are fitted."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch.nn.functional as F

from repro.measurements.conditioning import values
from repro.measurements.probe import Probe
from repro.measurements.reading import Reading
from repro.networks.skip import SkipToOutput
from repro.spectra import conditioning


def features(probe: Probe) -> Iterator[Reading]:
    """Ψ on the probe: its conditioning and rank (Nguyen, Lemma 3.2), and Lemma 2.1; nothing for other networks.

    Mode ``psi``: κ, σmax, σmin and rank of the N × M matrix of the probe's N images; ``images`` is N, which the rank
    reaches for almost every U in theory. Mode ``loss`` (with labels): the probe's ``cross_entropy``, Lemma 2.1's
    ``threshold`` log 2 / N, below which every image is classified rightly, and ``errors``, how many are not.
    """
    network = probe.network
    if not isinstance(network, SkipToOutput) or probe.share.rank != 0:
        return
    psi, _ = network.features(probe.images.clone())
    last = probe.layers[-1]
    count = float(len(psi))
    yield Reading("features", last.index, last.name, "psi", {**values(conditioning([psi]), 0), "images": count})
    if probe.labels is not None:
        scores = probe.scores()
        found = {
            "cross_entropy": F.cross_entropy(scores.double(), probe.labels).item(),
            "threshold": math.log(2) / count,
            "errors": float((scores.argmax(1) != probe.labels).sum()),
        }
        yield Reading("features", last.index, last.name, "loss", found)
