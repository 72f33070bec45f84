"""Every artefact of both papers in one table: what was run, at which size, and what became of its claims."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from repro.report.cause import TITLE as CAUSE
from repro.report.pages.document import document
from repro.report.pages.scorecard import COUNTED, VERDICTS, Card, card, overview
from repro.report.sources import Found, Section, found, of_study
from repro.report.tables import Column, Table, to_markdown
from repro.report.theory import TITLE as THEORY
from repro.studies.files import load, names
from repro.studies.study import Study

_KINDS = ("Table", "section", "Fig.")
_SKIPPED = "smoke"  # its numbers say nothing


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A study at a preset."""

    study: str
    section: Section
    """Not to be shown where nothing was run."""
    done: int


def entries(folders: Sequence[Path]) -> list[Entry]:
    """Every study at every preset of which there are runs in these folders (the first counts), else at its first."""
    seen: dict[tuple[str, bool], Found] = {}

    def section(study: Study, preset: str, command: str, *, run: bool) -> Section:
        key = (study.folder(preset), run)  # figures look at the runs of tables
        if key not in seen:
            seen[key] = found(study.cells(preset), [folder / key[0] for folder in folders] if run else [])
        return of_study(study.at(preset, command), *seen[key])

    artefacts = []
    for study in map(load, names()):
        sections = []
        for preset in study.presets:
            if preset == _SKIPPED or not any((folder / study.folder(preset)).is_dir() for folder in folders):
                continue
            option = "" if preset == study.default_preset else f" --preset {preset}"
            made = section(study, preset, f"repro study run {study.name}{option}", run=True)
            sections += [made] if any(cell.run is not None for cell in made.cells) else []
        if not sections:
            sections = [section(study, study.default_preset, f"repro study run {study.name}", run=False)]
        for made in sections:
            done = sum(cell.run is not None and cell.run.ended for cell in made.cells)
            artefacts.append(Entry(study=study.name, section=made, done=done))
    return sorted(artefacts, key=_reading_order)


def _reading_order(entry: Entry) -> tuple[bool, list[int], str]:
    """Oyedotun before Nguyen; tables, sections, figures; Fig. 9 before Fig. 10."""
    section = entry.section
    first = section.artefact.partition(" ")[0]
    kind = _KINDS.index(first) if first in _KINDS else len(_KINDS)
    numbers = [int(number) for number in re.findall(r"\d+", section.artefact)]
    return not section.paper.startswith("Oyedotun"), [kind, *numbers], section.artefact


TITLE = "Two papers on skip connections, artefact by artefact"


def pages(
    cards: Mapping[str, Card],
    parts: Mapping[str, tuple[str, str]],
    entries: Sequence[Entry],
    proven: Sequence[str],
    of_causes: str,
) -> tuple[str, str, dict[str, str]]:
    """The overview's heading, its table as Markdown, and pages that lead to each other, the overview last, by path.

    Cards and parts (title and HTML) are those of the sections, by key. Where there are no entries, the sections are all
    that the overview has. `proven` are the parts of the theory's page; `of_causes` is the page on causes, if there is
    one.
    """
    heading = TITLE if entries else "Report"
    cards = {entry.section.key: cards.get(entry.section.key) or card(entry.section) for entry in entries} or cards
    links = {key: f"parts/{key}.html" for key in parts}
    own = {"cause": (CAUSE, of_causes), "theory": (THEORY, "\n".join(proven))}
    own = {key: part for key, part in own.items() if part[1]}
    every = {**{key: own[key] for key in own if key == "cause"}, **parts, **own}
    below = "\n".join(
        f'<p class="theory"><a href="parts/{key}.html">{escape(name)}</a></p>' for key, (name, _) in own.items()
    )
    order = list(every)
    made = {}
    for number, (key, (title, part)) in enumerate(every.items()):
        others = [(order[number - 1], "←")] if number else []
        others += [(order[number + 1], "→")] if number + 1 < len(order) else []
        nav = ['<a href="../index.html">All artefacts</a>' if entries else '<a href="../index.html">All runs</a>']
        nav += [f'<a href="{other}.html">{arrow} {escape(every[other][0])}</a>' for other, arrow in others]
        made[f"parts/{key}.html"] = document(title, part, nav="\n".join(nav))
    made["index.html"] = document(heading, overview(heading, cards, links, below))
    return heading, to_markdown(table(cards, {entry.section.key: entry.study for entry in entries})), made


def table(cards: Mapping[str, Card], studies: Mapping[str, str]) -> Table:
    """A row for each card, for those who read text."""
    columns = [Column("", name, numeric=False) for name in ("artefact", "what", "size")]
    columns += [Column("", "runs"), *(Column("claims", COUNTED[kind]) for kind in VERDICTS)]
    columns += [Column("", "study", numeric=False)]
    rows = [
        [
            card.where,
            card.title,
            f"{card.size} ({card.scale})" if card.scale else card.size,
            card.runs.removesuffix("s").removesuffix(" run"),
            *(str(card.counts[kind]) for kind in VERDICTS),
            studies.get(key, key),
        ]
        for key, card in cards.items()
    ]
    return Table(columns, rows)
