"""One section of a report: all that is written of it, and its figures."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from repro import figures
from repro.figures import RunRecords
from repro.records import dump_json
from repro.report import tables
from repro.report.identity import Prints, of_figure
from repro.report.outcomes import RunResult, outcomes, records_of, verdicts
from repro.report.pages.scorecard import Card, card
from repro.report.pages.section import study_section
from repro.report.pages.svg import Drawn
from repro.report.sources import Section


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
    card: Card
    """What the overview says of it."""
    figures: dict[str, str]
    """The figures' keys by name."""

    @classmethod
    def remembered(cls, content: Mapping[str, Any]) -> Rendered:
        """From what `dataclasses.asdict` made of it."""
        return cls(**{**content, "card": Card(**content["card"])})


@dataclass
class Studio:
    """Reads each run once and draws each figure once, for the sections of one process.

    Figures that are `kept` need not be drawn. `pictures`: PNG are drawn as well.
    """

    prints: Prints
    kept: Mapping[str, Any] = field(default_factory=dict)
    pictures: bool = False
    drawn: dict[str, Drawn] = field(default_factory=dict)
    """What was drawn, or kept, by key."""
    png: dict[str, bytes] = field(default_factory=dict)
    """The same as pictures."""
    _read: dict[Hashable, RunResult] = field(default_factory=dict)

    def render(self, section: Section, level: int, elsewhere: Mapping[str, str]) -> Rendered:
        """Write a section, with Markdown headings from a level on: 1 if the report holds nothing else, 2 otherwise.

        `elsewhere`: where runs are that another section's page describes, by name.
        """
        results = outcomes(section, self._read)
        runs = [outcome for outcome in results if outcome.records is not None]
        named = {name: self._figure(name, runs) for name in figures.chosen(records_of(runs), section.figures)}
        table, judged = tables.accuracy_table(section, results), verdicts(section, results)
        order = sorted(named, key=lambda name: name in ("training-curves", "first-layer"))  # these every network has
        first = next(filter(None, (self.drawn[named[name]]["asked"] for name in order)), "")
        return Rendered(
            part=study_section(section, results, table=table, judged=judged, figures=named, elsewhere=elsewhere),
            markdown=tables.markdown_section(section, table, judged, level=level),
            csv=tables.to_csv(table),
            latex=tables.to_latex(table),
            results=[json.loads(dump_json(outcome.result(section))) for outcome in results],
            card=card(section, results, judged, json.loads(first) if first else None),
            figures=named,
        )

    def _figure(self, name: str, runs: Sequence[RunResult]) -> str:
        """The key of a figure, which is drawn if need be."""
        records = records_of(runs)
        contents = [self.prints.of(run.cell.run).drawn for run in runs if run.cell.run is not None]
        key = of_figure(name, [(run.label, run.classes, text) for run, text in zip(records, contents, strict=True)])
        if key not in self.drawn:
            self.drawn[key] = self.kept[key] if key in self.kept else self._draw(name, records, key)
        return key

    def _draw(self, name: str, records: Sequence[RunRecords], key: str) -> Drawn:
        figure = figures.draw_one(name, records)
        if self.pictures:
            self.png[key] = figures.to_png(figure)
        asked = figures.asked(figure) or {}
        entries: list[dict[str, str]] = asked.pop("key", [])
        above: float = asked.pop("above", 0.0)
        return Drawn(svg=figures.to_svg(figure), asked=dump_json(asked) if asked else "", key=entries, above=above)
