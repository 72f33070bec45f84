"""Every artefact of both papers in one table: what was run, at which size, and what became of its claims."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from repro.report.sources import Section, of_cells
from repro.report.tables import Column, Table, to_html
from repro.studies.files import load, names

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
    """Every study at every preset of which there are runs; at its first where there are none.

    Args:
        folders: Of run directories; the first that holds a cell's run gives it.
    """
    artefacts = []
    for name in names():
        study = load(name)
        sections = {}
        for preset in study.presets:
            paths = [folder / study.folder(preset) for folder in folders]
            if preset == _SKIPPED or not any(path.is_dir() for path in paths):
                continue
            option = "" if preset == study.default_preset else f" --preset {preset}"
            command = f"repro study run {name}{option}"
            section = of_cells(study, preset, study.cells(preset), paths, command=command)
            if any(cell.run is not None for cell in section.cells):
                sections[command] = section
        if not sections:
            command = f"repro study run {name}"
            sections[command] = of_cells(study, None, study.cells(), [], command=command)
        artefacts += [_entry(name, section) for section in sections.values()]
    return sorted(artefacts, key=_reading_order)


def _reading_order(entry: Entry) -> tuple[bool, list[int], str]:
    """Oyedotun before Nguyen; tables, sections, figures; Fig. 9 before Fig. 10."""
    section = entry.section
    first = section.artefact.partition(" ")[0]
    kind = _KINDS.index(first) if first in _KINDS else len(_KINDS)
    numbers = [int(number) for number in re.findall(r"\d+", section.artefact)]
    return not section.paper.startswith("Oyedotun"), [kind, *numbers], section.artefact


def _entry(name: str, section: Section) -> Entry:
    done = sum(cell.run is not None and cell.run.ended for cell in section.cells)
    return Entry(study=name, section=section, done=done)


Counts = Mapping[str, Mapping[str, int]]
"""How many claims have which verdict, by a section's key; of a section without an entry none was checked."""


def _counted(entry: Entry, counts: Counts) -> Mapping[str, int]:
    return counts.get(entry.section.key, {"not run": len(entry.section.claims)})


def _size(section: Section) -> str:
    return f"{section.preset} ({section.scale})" if section.scale else section.preset


def table(artefacts: Sequence[Entry], counts: Counts) -> Table:
    """A row for each entry."""
    columns = [
        Column("", "artefact", numeric=False),
        Column("", "what", numeric=False),
        Column("", "size", numeric=False),
        Column("", "runs"),
        Column("claims", "hold"),
        Column("claims", "fail"),
        Column("claims", "not run"),
        Column("", "study", numeric=False),
    ]
    rows = [
        [
            artefact.section.where,
            artefact.section.title,
            _size(artefact.section) if artefact.done else "not run",
            f"{artefact.done} of {len(artefact.section.cells)}",
            *(str(_counted(artefact, counts).get(verdict, 0)) for verdict in ("holds", "fails", "not run")),
            artefact.study,
        ]
        for artefact in artefacts
    ]
    return Table(columns, rows)


def html(artefacts: Sequence[Entry], counts: Counts, *, theory: bool = False) -> str:
    """The table, each row linked to its section where there is one, and to the theory where that is there."""
    links = [f"#{artefact.section.key}" if artefact.done else None for artefact in artefacts]
    text = (
        "What was run, of everything that both papers report, and what became of their claims. Click a heading to sort."
    )
    below = '\n<p>Below them: <a href="#theory">the statements of both papers, checked by experiment</a>.</p>'
    return f"<p>{escape(text)}</p>\n{to_html(table(artefacts, counts), links)}{below if theory else ''}"
