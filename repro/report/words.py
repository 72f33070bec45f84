"""The page's sentences: claims, captions, what is reduced."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from repro.figures import RunRecords, drawings
from repro.figures.style import title
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
from repro.report.sources import Section
from repro.studies.verdict import Verdict
from repro.text import number, ranges

_SIGNS = {"<=": "≤", ">=": "≥", "==": "="}

_KINDS = {
    SINGULAR: f"infinite ({PERFECTLY.replace(' (', ', ')}",
    BEYOND: f"infinite ({OVER.replace(' (', ', ')}",
    NON_FINITE: "non-finite in its entries",
}
_MOST_NAMED = 6
"""Networks in a sentence of a caption; more are counted."""


def heading(figure: str) -> str:
    """What stands above a figure."""
    return drawings()[figure].heading


def caption(section: Section, figure: str, runs: Sequence[RunRecords]) -> list[str]:
    """What a figure plots, what was found, what the paper shows, and what is reduced: a sentence or two each."""
    drawing, of_paper = drawings()[figure], section.paper_shows.get(figure, "")
    findings = [_infinite(runs, kappa) for kappa in drawing.kappas] if figure != "first-layer" else [_growth(runs)]
    sentences = [drawing.caption, " ".join(filter(None, findings)), of_paper, reservations(section)]
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
        words.append(f"{title(label)} {name}" if name else _SIGNS.get(word) or _plain(word))
    source = [re.sub(r" \(([^()]{2,})\)$", r", \1", rest[0])] if rest else []  # 6.5 (c) stays
    return " ".join([" ".join(words), *(f"({'; one bound, as '.join([*source, *rest[1:]])})" for _ in source)])


def _plain(word: str) -> str:
    """A number of a claim as it is written elsewhere, a network by its title, and any other word as it is."""
    return re.sub(r"^-(?=\d)", "−", f"{int(word):,}" if re.fullmatch(r"-?\d{5,}", word) else title(word))


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
    parts = [f"{span(values)} ({name})" for name, values in factors.items()]
    if len(parts) > _MOST_NAMED:
        parts = [f"{span([value for values in factors.values() for value in values])}; the table has each network's"]
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
        some = sum(any((table["kind"] == kind).any() for table in tables) for tables in by_label.values())
        if some > _MOST_NAMED:
            parts.append(f"{word} in some layers of {some} of {len(by_label)} networks")
            continue
        for name, tables in by_label.items():
            layers = [table.index[table["kind"] == kind].tolist() for table in tables]
            if any(layers):
                where = ranges(layers[0], most=4) if len(tables) == 1 else f"{len(tables)} runs"
                counts = span([len(numbers) for numbers in layers])
                parts.append(f"{word} in {counts} of {len(tables[0])} layers of {name} ({where})")
    sound = [name for name, tables in by_label.items() if all((table["kind"] == FINITE).all() for table in tables)]
    if sound:
        whose = f"{len(sound)} networks" if len(sound) > _MOST_NAMED else _listed(sound)
        whose = "every network" if len(sound) == len(by_label) > 3 else whose
        parts.append(f"finite in every layer of {whose}")
    return f"{kappa.found} κ is {_listed(parts)}." if parts else ""


def span(values: Sequence[float | int]) -> str:
    """``15,000``, or ``15,000 to 16,000``."""
    return " to ".join(number(value, 4) for value in dict.fromkeys((min(values), max(values))))


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
