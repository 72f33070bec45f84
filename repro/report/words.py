"""The page's sentences: claims, captions, what is reduced."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from repro.figures import RunRecords
from repro.figures.style import title
from repro.measurements.description import FigureSpec
from repro.measurements.kappa import (
    BEYOND,
    FINITE,
    NON_FINITE,
    OVER,
    PERFECTLY,
    SINGULAR,
    Kappa,
    at_end,
    first_layer_growth,
)
from repro.measurements.quantities import in_words
from repro.measurements.registry import figure_specs
from repro.report.sources import Section
from repro.studies.verdict import Verdict
from repro.text import ranges

_SIGNS = {"<=": "≤", ">=": "≥", "==": "="}

_KINDS = {
    SINGULAR: f"infinite ({PERFECTLY.replace(' (', ', ')}",
    BEYOND: f"infinite ({OVER.replace(' (', ', ')}",
    NON_FINITE: "non-finite in its entries",
}

_OF_A_RUN = {
    "dial": (
        "The dial",
        """Against the strength α of the skip connections: accuracy on the held-out images (dotted: 50 %); the median
        over the layers of κ of the kernels, and of the linear maps of images that they define; and the share of layers
        whose representation has infinite κ (thick: both kinds of infinite). Runs with a learned α are left out.""",
    ),
    "trainable-depth": (
        "Trainable depth",
        """Against the number of weight layers, one line for each remedy: accuracy on the held-out images (dotted: 50 %,
        above which we say that a network trains), and the share of layers whose representation has infinite κ as a
        matrix of samples (thick: both kinds of infinite).""",
    ),
    "learning-rates": (
        "Learning rates",
        """Mean cross-entropy of the last epoch's training batches against the learning rate after the warm-up, one
        line for each optimiser; the best rate is where the line is lowest.""",
    ),
    "training-curves": (
        "Training",
        """Cross-entropy, objective (cross-entropy plus the L2 penalty on the weights) and accuracy against the
        optimiser step. Lines show training batches; marks show the whole held-out set after each epoch.""",
    ),
    "first-layer": (
        "The first layer's weights during training",
        """Largest singular value of the first layer's weights against the optimiser step; both axes are logarithmic,
        and step 0, before training, is at the left.""",
    ),
    "landscape": (
        "The loss around the solution",
        """Mean loss (left, with contours; right, in three dimensions) and share of wrongly classified training images
        (middle) where the weights are moved from the solution (cross) along two directions as long as the weights
        themselves; the scale of the loss is logarithmic and shared.""",
    ),
    **{
        f"{measurement}-spectra": (
            f"All singular values of the {measurement}",
            f"""Singular values of every layer's {words}, divided by the layer's largest, as colour. Each column is a
            layer, with its largest singular value at the top. The panels are the first measurement, the last, and some
            between them. Pink values are below float32's precision (1.2e-7).""",
        )
        for measurement, words in (("weights", "weights"), ("representations", "representation of the fixed probe"))
    },
}
"""Headings and what is plotted of the figures that are no measurement's."""


def _spec(figure: str) -> FigureSpec | None:
    return next((spec for _, spec in figure_specs() if spec.name == figure), None)


def heading(figure: str) -> str:
    """What stands above a figure."""
    spec = _spec(figure)
    return spec.heading if spec else _OF_A_RUN[figure][0]


def caption(section: Section, figure: str, runs: Sequence[RunRecords]) -> list[str]:
    """What a figure plots, what was found, what the paper shows, and what is reduced: a sentence or two each."""
    spec, of_paper = _spec(figure), section.paper_shows.get(figure, "")
    plotted = spec.caption if spec else _OF_A_RUN[figure][1]
    kappas = [panel for panel in spec.panels if isinstance(panel, Kappa)] if spec else []
    findings = [_infinite(runs, kappa) for kappa in kappas] if figure != "first-layer" else [_growth(runs)]
    sentences = [plotted, " ".join(filter(None, findings)), of_paper, reservations(section)]
    return [" ".join(sentence.split()) for sentence in sentences if sentence]


def reservations(section: Section) -> str:
    """What is smaller than our full size, and data that are not the published ones; empty if there is nothing."""
    notes = []
    if section.reduced:
        notes.append(f"Reduced against our full size: {'; '.join(section.reductions) or 'see the configuration'}.")
    last = [cell.run.last_life for cell in section.cells if cell.run is not None]
    data = [life["data"] for life in last if "source" in life.get("data", {})]
    unpublished = {f"{it.get('name')} from {it['source']}" for it in data if not it.get("published")}
    notes += [f"The data are {name}, not known to be the published pixels." for name in sorted(unpublished)]
    return " ".join(notes)


def missing(section: Section) -> str:
    """Which seeds of which cells have not been run, in a line; empty if all have."""
    declared: dict[str, list[int]] = {}
    lacking: dict[str, list[int]] = {}
    for cell in section.cells:
        declared.setdefault(cell.label, []).append(cell.seed)
        if cell.run is None and not cell.damage:
            lacking.setdefault(cell.label, []).append(cell.seed)
    groups: dict[tuple[int, ...], list[str]] = {}
    for label, seeds in lacking.items():
        groups.setdefault(tuple(seeds), []).append(label)
    parts = []
    for wanted, labels in groups.items():
        everyone = len(labels) > 1 and labels == [
            label for label, seeds in declared.items() if set(wanted) <= set(seeds)
        ]
        whose = "every network" if everyone else _listed([title(label) for label in labels])
        parts.append(f"seed{'s' * (len(wanted) > 1)} {_listed([f'{seed}' for seed in wanted])} of {whose}")
    return f"Not run: {'; '.join(parts)}." if parts else ""


def claim_in_words(claim: str) -> str:
    """``resnet110.test_accuracy >= 90 | Table 2 (93.29)`` as ``ResNet-110 test accuracy (%) ≥ 90 (Table 2, 93.29)``.

    Where a claim has one bound, why it has one follows.
    """
    text, *rest = (part.strip() for part in claim.split("|"))
    words = []
    for word in text.split():
        label, _, quantity = word.rpartition(".")
        name = in_words(quantity) if label else None
        words.append(f"{title(label)} {name}" if name else _SIGNS.get(word, word))
    source = [re.sub(r" \(([^()]{2,})\)$", r", \1", rest[0])] if rest else []  # 6.5 (c) stays
    return " ".join([" ".join(words), *(f"({'; one bound, as '.join([*source, *rest[1:]])})" for _ in source)])


def verdict_lines(section: Section, judged: Sequence[Verdict], written: Callable[[str], str] = str) -> str:
    """Verdicts as a list in Markdown; `written` makes plain text of a stranger's words."""
    scale = f" ({section.scale})" if section.scale else ""
    return "\n".join(
        f"- **{item.verdict}**{scale}: {written(claim_in_words(item.claim))} — {written(claim_in_words(item.detail))}"
        for item in judged
    )


def _growth(runs: Sequence[RunRecords]) -> str:
    factors: dict[str, list[float]] = {}
    for run in runs:
        growth = first_layer_growth(run.readings)
        if growth is not None and np.isfinite(growth):
            factors.setdefault(title(run.label), []).append(float(f"{growth:.2g}"))
    parts = [f"{_span(values)} ({name})" for name, values in factors.items()]
    return f"From the first to the last measurement it was multiplied by {', '.join(parts)}." if parts else ""


def _infinite(runs: Sequence[RunRecords], kappa: Kappa) -> str:
    """Where κ is not finite at the last measurement: which layers, or of several runs of one label how many."""
    by_label: dict[str, list[pd.DataFrame]] = {}
    for run in runs:
        table = at_end(run.of_layers(kappa))
        if len(table):
            by_label.setdefault(title(run.label), []).append(table)
    parts = []
    for kind, word in _KINDS.items():
        for name, tables in by_label.items():
            layers = [table.index[table["kind"] == kind].tolist() for table in tables]
            if any(layers):
                where = ranges(layers[0], most=4) if len(tables) == 1 else f"{len(tables)} runs"
                counts = _span([len(numbers) for numbers in layers])
                parts.append(f"{word} in {counts} of {len(tables[0])} layers of {name} ({where})")
    sound = [name for name, tables in by_label.items() if all((table["kind"] == FINITE).all() for table in tables)]
    if sound:
        parts.append(f"finite in every layer of {_listed(sound)}")
    return f"{kappa.found} κ is {_listed(parts)}." if parts else ""


def _span(values: Sequence[float | int]) -> str:
    """``15,000``, or ``15,000 to 16,000``."""
    return " to ".join(f"{value:,g}" for value in dict.fromkeys((min(values), max(values))))


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
