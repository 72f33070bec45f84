"""Cause or correlation: figures of studies in which one thing was varied, and what the first readings predict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from repro.errors import leave_out
from repro.figures.style import title
from repro.measurements.quantities import TRAINS
from repro.records import find_runs
from repro.report.identity import Prints, code, of
from repro.report.memory import Memory
from repro.report.pages import svg
from repro.report.pages.section import figure
from repro.report.sources import Section
from repro.report.tables import Column, Table, digits, to_html, to_markdown
from repro.report.words import caption, heading
from repro.studies.forecast import EARLY, LAYERS, LOSS, Case, Forecast, cases, forecasts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Cause or correlation"
_TURNED = ("dial", "slope", "trainable-depth", "learning-rates")
_FORECAST = f"""Do a run's first readings tell whether it will train? Every kept run that was measured before training
    counts once. A run trains if its final training accuracy is at least {TRAINS} times chance. ρ is Spearman's rank
    correlation of the reading with the final training accuracy above chance; it is −1 if smaller readings
    always come with higher accuracy. The threshold is found on the runs of all other studies; precision and recall say
    how well it predicts the runs of the study that was left out. p is of one reading alone and treats runs as
    independent. Several studies have the same networks on the same digits, so the runs left out are not all new."""
_PLOTTED = """Final training accuracy above chance against a reading, one point for each run. For each time the reading
    with the strongest rank correlation is shown. Dotted: the threshold over all runs, up to which a run is predicted to
    train."""


def foretold(folders: Sequence[Path], memory: Memory) -> list[Forecast]:
    """What the first readings of runs in these folders foretell; the memory keeps what was read of them."""
    prints = Prints()
    key = of(code(), "cases", [(run.name, prints.of(run).whole) for run in find_runs(folders)])
    if (kept := memory.get(key)) is None:
        found, damage = cases(folders)
        kept = {"cases": [asdict(case) for case in found], "damage": damage}
    memory.put(key, kept)
    for what in kept["damage"]:
        leave_out(what)
    return forecasts([Case(**case) for case in kept["cases"]])


def table(told: Sequence[Forecast]) -> Table:
    """A row for each reading at each time, the best first."""
    columns = [
        Column("", "when", numeric=False),
        Column("", "reading", numeric=False),
        *(Column("", name) for name in ("runs", "of these train", "ρ", "p", "threshold", "precision", "recall")),
    ]
    rows = [
        [
            each.when,
            each.reading,
            str(len(each.cases)),
            str(sum(case.trains for case in each.cases)),
            f"{each.rho:.2f}".replace("-", "−"),
            f"{each.p:.2g}",
            "none" if math.isinf(each.threshold) else f"≤ {digits(each.threshold)}",
            "none predicted" if math.isnan(each.precision) else f"{each.precision:.2f}",
            f"{each.recall:.2f}",
        ]
        for each in told
    ]
    return Table(columns, rows)


def drawn(told: Sequence[Forecast]) -> Figure:
    """Of each time the forecast of the strongest rank correlation, what needs no condition number left out."""
    from repro.figures.forecast import Outcomes, forecast

    strongest: dict[str, Forecast] = {}
    for each in sorted(told, key=lambda each: -abs(each.rho)):
        if each.reading not in (LOSS, LAYERS):
            strongest.setdefault(each.when, each)
    return forecast(
        [
            Outcomes(
                title=each.when.capitalize(),
                reading=each.reading,
                values=each.values,
                scores=[case.score for case in each.cases],
                families=[title(case.network).partition("-")[0] for case in each.cases],
                threshold=each.threshold,
            )
            for each in (strongest[when] for when in dict.fromkeys(each.when for each in told) if when in strongest)
        ]
    )


def page(
    figures: Sequence[tuple[Section, Mapping[str, str]]],
    told: Sequence[Forecast],
    known: Mapping[str, svg.Drawn],
) -> tuple[str, str]:
    """The page and its table as Markdown; both empty if there is nothing to show.

    Of sections with their figures' keys by name, of what first readings foretell, and of the figures by key.
    """
    parts = []
    for name in _TURNED:
        for section, keys in figures:
            if name in keys:
                sentences = caption(section, name, [])
                parts.append(f'<h2>{heading(name)}: <a href="{section.key}.html">{escape(section.title)}</a></h2>')
                parts.append(figure(svg.place(keys[name], label=sentences[0]), sentences))
    if not told:
        return svg.fill(_whole(parts), known) if parts else "", ""
    from repro.figures import to_svg

    text = " ".join(_PLOTTED.split())
    parts.append(f"<h2>First readings and what came of them</h2>\n<p>{escape(' '.join(_FORECAST.split()))}</p>")
    parts += [figure(svg.place("forecast", label=text), [text]), to_html(table(told), [None] * len(told))]
    parts.append(f'<p class="muted">Early: the last measurement within {EARLY} steps. repro study forecast</p>')
    figure_of_them = svg.Drawn(svg=to_svg(drawn(told)), asked="")
    filled = svg.fill(_whole(parts), {**known, "forecast": figure_of_them})
    return filled, f"\n## {TITLE}\n\n{to_markdown(table(told))}\n"


def _whole(parts: Sequence[str]) -> str:
    return f'<section id="cause">\n<h1>{TITLE}</h1>\n{chr(10).join(parts)}\n</section>'
