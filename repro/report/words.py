"""The page's sentences: claims, captions, what is reduced."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from repro.figures import RunRecords, kappa
from repro.figures.style import title
from repro.report.sources import Section
from repro.studies.quantities import in_words

_SIGNS = {"<=": "≤", ">=": "≥", "==": "="}

HEADINGS = {
    "training-curves": "Training",
    "first-layer": "The first layer's weights during training",
    "landscape": "The loss around the solution",
    "weights": "Conditioning of the weights",
    "representations": "Conditioning of the representations",
    "outputs": "Conditioning of the outputs before normalisation",
    "gradients": "Conditioning of gradients and updates",
    "errors": "Conditioning of the error gradients",
    "distributions-activations": "Distribution of the activations",
    "distributions-outputs": "Distribution of the outputs before normalisation",
    "distributions-weights": "Distribution of the weights",
    "distributions-gradients": "Distribution of the gradients",
    "amplification": "From training to held-out images",
    "distance": "Distance from the input",
    "diagonals": "DiracNet's diagonals",
    "features": "Features that skip to the output",
    "weights-map": "Conditioning of the weights, layer by layer over training",
    "representations-map": "Conditioning of the representations, layer by layer over training",
}

_PLOTTED = {
    "training-curves": """Cross-entropy, objective (cross-entropy plus the L2 penalty on the weights) and accuracy
        against the optimiser step. Lines are training batches, marks the whole held-out set at the ends of epochs.""",
    "first-layer": """Largest singular value of the first layer's weights against the optimiser step, both axes
        logarithmic (step 0, before training, stands at the left).""",
    "landscape": """Mean loss (left, with contours; right, in three dimensions) and share of wrongly classified training
        images (middle) where the weights are moved from the solution (cross) along two directions as long as the
        weights themselves; the scale of the loss is logarithmic and shared.""",
    "weights": """Condition number κ = σmax / σmin of every weight layer, the larger of its output- and input-channel
        modes: thin before training, thick at the last measurement.""",
    "representations": """Condition number κ of every hidden representation of the fixed probe batch: left in the
        channel mode, right as the matrix of n features by N samples (Definition 2); thin before training, thick at the
        last measurement.""",
    "outputs": """Condition number κ of what every weight layer returns, before its normalisation and activation, on the
        fixed probe batch: left in the channel mode, right as the matrix of n features by N samples.""",
    "gradients": """Condition number κ of the gradient of every layer's weights (mean cross-entropy of the probe, in
        training mode) and of the update that the optimiser would make with it, momentum and penalty included: the
        larger of the output- and input-channel modes.""",
    "errors": """Condition number κ of the gradient of the probe's mean cross-entropy with respect to every hidden
        representation (training mode): left in the channel mode, right as the matrix of n features by N samples.""",
    "distributions-activations": """What the next weight layer reads, on the fixed probe batch with the running
        statistics of the normalisation, against the optimiser step; the vertical axis is linear around 0 and
        logarithmic beyond.""",
    "distributions-outputs": """What the layer returns before its normalisation, on the fixed probe batch, against the
        optimiser step; the vertical axis is linear around 0 and logarithmic beyond.""",
    "distributions-weights": """The layer's weights against the optimiser step; the vertical axis is linear around 0 and
        logarithmic beyond.""",
    "distributions-gradients": """The gradient of the layer's weights (mean cross-entropy of the probe, in training
        mode) against the optimiser step; the vertical axis is linear around 0 and logarithmic beyond.""",
    "amplification": """Left, how far every representation moves in the spectral norm, relative to its own, from the
        probe of training images to as many held-out ones; right, that times κ of the representation as a matrix, which
        bounds the relative change of a linear layer's solution (Proposition 3).""",
    "distance": """Left, the distance of every representation from the first one, which the identity shortcuts carry
        (subsampled and padded with zeros where the shape changes), relative to its norm; right, the linear centred
        kernel alignment with the input images: 1 where the samples lie alike up to rotation and scale.""",
    "diagonals": """How far the diagonal a of every DiracNet layer is from 1, relative to the norm of 1.""",
    "features": """Left, the rank of the matrix Ψ of the chosen neurons' outputs on the fixed probe batch over its
        number of images, singular values under 1.2e-7 of the largest counted as zero; right, the probe's cross-entropy
        over log 2 / N, below which every image is classified rightly (Lemma 2.1).""",
    "weights-map": """The same κ of the weights as colour, for every layer (upwards) and every measurement (to the
        right; epoch 0 is before training).""",
    "representations-map": """The channel-mode κ of the representations as colour, for every layer (upwards) and every
        measurement (to the right; epoch 0 is before training).""",
}


def caption(section: Section, figure: str, runs: Sequence[RunRecords]) -> list[str]:
    """What a figure plots, what was found, what the paper shows, and what is reduced: a sentence or two each."""
    of_paper = section.paper_shows.get(figure, "")
    sentences = [_PLOTTED[figure], _found(figure, runs), of_paper, reservations(section)]
    return [" ".join(sentence.split()) for sentence in sentences if sentence]


def reservations(section: Section) -> str:
    """What is smaller than our full size, and data that are not the published ones; empty if there is nothing."""
    notes = []
    if section.reduced:
        notes.append(f"Reduced against our full size: {'; '.join(section.reductions) or 'see the configuration'}.")
    last = [cell.run.lives[-1] for cell in section.cells if cell.run is not None and cell.run.lives]
    data = [life["data"] for life in last if "source" in life.get("data", {})]
    unpublished = {f"{each['name']} from {each['source']}" for each in data if not each["published"]}
    notes += [f"The data are {each}, not known to be the published pixels." for each in sorted(unpublished)]
    return " ".join(notes)


def claim_in_words(claim: str) -> str:
    """``resnet110.test_accuracy >= 90 | Table 2 (93.29)`` as ``ResNet-110 test accuracy (%) ≥ 90 (Table 2, 93.29)``.

    Where a claim has one bound, why it has one follows.
    """
    text, *rest = (part.strip() for part in claim.split("|"))
    words = []
    for word in text.split():
        label, _, quantity = word.rpartition(".")
        known = in_words(quantity) if label else None
        words.append(f"{title(label)} {known}" if known else _SIGNS.get(word, word))
    source = [rest[0].replace(" (", ", ").removesuffix(")")] if rest else []
    return " ".join([" ".join(words), *(f"({'; one bound, as '.join([*source, *rest[1:]])})" for _ in source)])


def _found(figure: str, runs: Sequence[RunRecords]) -> str:
    """One sentence of numbers: where κ is infinite, or how far the first layer has grown."""
    if figure == "first-layer":
        return _growth(runs)
    if figure == "weights":
        return _infinite(runs, "weights", "headline", "At the last measurement")
    if figure in ("representations", "outputs", "errors"):
        channel = _infinite(runs, figure, "headline", "At the last measurement, in the channel mode")
        return f"{channel} {_infinite(runs, figure, 'matrix', 'As a matrix')}"
    if figure == "gradients":
        gradients = _infinite(runs, "gradients", "headline", "At the last measurement the gradient's")
        return f"{gradients} {_infinite(runs, 'updates', 'quoted', 'The update’s')}"
    return ""


def _growth(runs: Sequence[RunRecords]) -> str:
    found: dict[str, list[float]] = {}
    for run in runs:
        growth = kappa.first_layer_growth(run.readings)
        if growth is not None and np.isfinite(growth):
            found.setdefault(title(run.label), []).append(float(f"{growth:.2g}"))
    parts = [f"{name} {_span(values)}" for name, values in found.items()]
    return f"From the first to the last measurement it was multiplied by: {', '.join(parts)}." if parts else ""


def _infinite(runs: Sequence[RunRecords], measurement: str, form: str, start: str) -> str:
    """Where κ is not finite at the last measurement: which layers, or of several runs of one label how many."""
    found: dict[str, list[pd.DataFrame]] = {}
    for run in runs:
        table = kappa.headline_kappa(run.readings, measurement, form=form)
        table = table[(table["layer"] >= 1) & (table["step"] == table["step"].max())]
        if len(table):
            found.setdefault(title(run.label), []).append(table)
    parts = []
    for word, is_kind in (("infinite", np.isinf), ("non-finite in its entries", np.isnan)):
        for name, tables in found.items():
            layers = [table["layer"][is_kind(table["kappa"])].tolist() for table in tables]
            if any(layers):
                where = ranges(layers[0]) if len(tables) == 1 else f"{len(tables)} runs"
                counts = _span([len(each) for each in layers])
                parts.append(f"{word} in {counts} of {len(tables[0])} layers of {name} ({where})")
    sound = [name for name, tables in found.items() if all(np.isfinite(table["kappa"]).all() for table in tables)]
    if sound:
        parts.append(f"finite in every layer of {_listed(sound)}")
    return f"{start} κ is {_listed(parts)}." if parts else ""


def _span(values: Sequence[float | int]) -> str:
    """``15,000``, or ``15,000 to 16,000``."""
    return " to ".join(f"{value:,g}" for value in dict.fromkeys((min(values), max(values))))


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def ranges(layers: Sequence[int]) -> str:
    """``[1, 2, 3, 7]`` as ``1 to 3, 7``; of more than four stretches the first three and the last."""
    stretches: list[list[int]] = []
    for layer in layers:
        if stretches and layer == stretches[-1][-1] + 1:
            stretches[-1][1:] = [layer]
        else:
            stretches.append([layer])
    texts = [f"{each[0]} to {each[-1]}" if len(each) > 1 else str(each[0]) for each in stretches]
    return ", ".join(texts if len(texts) <= 4 else [*texts[:3], "…", texts[-1]])
