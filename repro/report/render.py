"""One section of a report: all that is written of it, and its figures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from repro import figures
from repro.figures import RunRecords
from repro.records import dump_json
from repro.report import page, tables
from repro.report.identity import Prints, of_figure
from repro.report.outcomes import RunResult, outcomes, verdicts
from repro.report.sources import Section

CURVES = "training-curves"


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A section, written; as JSON it is what a report remembers of it."""

    part: str
    """Its part of the page, with places for figures."""
    markdown: str
    csv: str
    latex: str
    results: list[dict[str, Any]]
    """Entries of ``results.json``."""
    counts: dict[str, int]
    """How many claims have which verdict."""
    figures: dict[str, str]
    """The figures' keys by name."""
    curves: list[str]
    """The keys of runs' own curves."""

    @property
    def keys(self) -> list[str]:
        """The keys of all its figures."""
        return [*self.figures.values(), *self.curves]


@dataclass
class Studio:
    """Reads each run once and draws each figure once, for the sections of one process.

    Args:
        prints: Of all runs.
        kept: Keys of figures that need not be drawn.
        pictures: Whether to draw PNG as well, under the key with ``.png``.
    """

    prints: Prints
    kept: Collection[str] = ()
    pictures: bool = False
    drawn: dict[str, Any] = field(default_factory=dict)
    """What was drawn, by key."""
    _read: dict[Hashable, RunResult] = field(default_factory=dict)

    def render(self, section: Section, level: int) -> Rendered:
        """Write a section.

        Args:
            section: What to write of.
            level: 1 if the page holds nothing else, 2 otherwise.
        """
        results = outcomes(section, self._read)
        runs = [outcome for outcome in results if outcome.records is not None]
        named = {name: self._figure(name, runs) for name in figures.chosen(_records(runs), section.figures)}
        curves = [
            self._figure(CURVES, [outcome]) if len(runs) > 1 and figures.chosen(_records([outcome]), [CURVES]) else None
            for outcome in results
        ]
        table, judged = tables.accuracy_table(section, results), verdicts(section, results)
        part = page.study_section(
            section, results, level=level, table=table, judged=judged, figures=named, curves=curves
        )
        return Rendered(
            part=part,
            markdown=tables.markdown_section(section, table, judged, level=level),
            csv=tables.to_csv(table),
            latex=tables.to_latex(table),
            results=[json.loads(dump_json(outcome.result(section))) for outcome in results],
            counts=dict(Counter(verdict.verdict for verdict in judged)),
            figures=named,
            curves=[key for key in curves if key is not None],
        )

    def _figure(self, name: str, runs: Sequence[RunResult]) -> str:
        """The key of a figure, which is drawn if need be."""
        records = _records(runs)
        contents = [self.prints.of(run.cell.run).drawn for run in runs if run.cell.run is not None]
        key = of_figure(name, [(run.label, run.classes, text) for run, text in zip(records, contents, strict=True)])
        if key not in self.kept and key not in self.drawn:
            figure = figures.draw_one(name, records)
            self.drawn[key] = figures.to_svg(figure)
            if self.pictures:
                self.drawn[f"{key}.png"] = figures.to_png(figure)
        return key


def _records(results: Sequence[RunResult]) -> list[RunRecords]:
    return [outcome.records for outcome in results if outcome.records is not None]
