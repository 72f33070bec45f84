"""From run directories to a folder with the page, the tables and the figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from repro.records import put
from repro.report.memory import NAME, Memory
from repro.text import say

if TYPE_CHECKING:
    from repro.report.overview import Entry
    from repro.report.sources import Section
    from repro.studies.forecast import Forecast

_MANY = 200
"""So many runs take long enough to say so."""


def build(paths: Sequence[str | Path], out: str | Path) -> Path:
    """Make a report of the runs at some paths.

    Args:
        paths: Run directories, folders of studies, or folders that have any of these.
        out: Folder for the report; made if missing.

    Raises:
        UserError: A path does not exist, there is no run, a manifest cannot be read, or `out` cannot be written.

    Example:
        >>> print(build([Path("runs/single")], Path("page")))
        page/index.html
    """
    from repro.report import sources

    sections = sources.sections(paths)
    if (runs := sum(len(section.cells) for section in sections)) > _MANY:
        say(f"reading {runs:,} runs")
    return write(sections, Path(out))


def build_all(folders: Sequence[Path], out: Path) -> Path:
    """`write` of every study that has runs in some folders: an overview, a section for each, the theory."""
    from repro.report import cause, overview, sources, theory

    rows = overview.entries(folders)
    sections = sources.distinct([row.section for row in rows])
    rows = [replace(row, section=section) for row, section in zip(rows, sections, strict=True)]
    proven = [part for folder in folders for part in theory.sections(folder / "theory")]
    memory = Memory(out)
    told = cause.foretold([folder for folder in folders if folder.is_dir()], memory)
    return write([row.section for row in rows if row.done], out, entries=rows, proven=proven, told=told, memory=memory)


def write(
    sections: Sequence[Section],
    out: Path,
    *,
    entries: Sequence[Entry] = (),
    proven: Sequence[str] = (),
    told: Sequence[Forecast] = (),
    memory: Memory | None = None,
) -> Path:
    """Write the report: ``index.html``, ``tables.md``, ``tables/`` (CSV, LaTeX), ``results.json`` and ``figures/``.

    Of several sections ``index.html`` is the overview, and each has a page of its own in ``parts/``.

    Everything is drawn before anything is written, and each file replaces its predecessor in one step, the page last.
    The same records give the same bytes. What an earlier report in this folder was made of is not made again; `memory`
    is that of the folder, if it was read already. The other arguments are those of `files`. Returns the page's path.
    """
    memory = memory or Memory(out)
    made = files(sections, entries, proven, told, memory=memory)
    page = put({NAME: memory.content(made), **made}, out)
    memory.forget_files(made)
    return page


def files(
    sections: Sequence[Section],
    entries: Sequence[Entry] = (),
    proven: Sequence[str] = (),
    told: Sequence[Forecast] = (),
    *,
    memory: Memory | None = None,
    pictures: bool = False,
) -> dict[str, bytes]:
    """The report's files by their path in the folder, the page last.

    The overview above the sections has `entries`; `proven` are parts of the theory's page, `told` is what first
    readings foretell, for the page on causes. `pictures`: figures come as PNG too.
    """
    from repro.report.pages.document import document
    from repro.report.pages.svg import fill
    from repro.report.together import render

    alone = len(sections) == 1 and not entries
    made_of = render(sections, 1 if alone else 2, memory or Memory(), pictures=pictures)
    made: dict[str, bytes] = {}
    names: dict[str, str] = {}  # of figures' files: what several sections show is one file
    markdown = []
    pairs = list(zip(sections, made_of.rendered, strict=True))
    for section, written in pairs:
        for name, key in written.figures.items():
            if key not in names:
                names[key] = f"figures/{section.key}-{name}.svg"
                made[names[key]] = made_of.drawn[key]["svg"].encode()
                if pictures:
                    made[names[key].replace(".svg", ".png")] = made_of.png[key]
        made[f"tables/{section.key}.csv"] = written.csv.encode()
        made[f"tables/{section.key}.tex"] = written.latex.encode()
        markdown.append(written.markdown + _links({name: names[key] for name, key in written.figures.items()}))
    parts = {section.key: (section.title, fill(written.part, made_of.drawn)) for section, written in pairs}
    if alone:
        pages = {"index.html": document(*parts[sections[0].key])}
    else:
        from repro.report import cause, overview

        shown = [(section, written.figures) for section, written in pairs]
        of_causes, text = cause.page(shown if entries else [], told, made_of.drawn)
        cards = {section.key: written.card for section, written in pairs}
        heading, table, pages = overview.pages(cards, parts, entries, proven, of_causes)
        markdown.insert(0, f"# {heading}\n\n{table}\n{text}")
    made["tables.md"] = "\n".join(markdown).encode()
    results = [result for _, written in pairs for result in written.results]
    made["results.json"] = (json.dumps(results, indent=1, ensure_ascii=False) + "\n").encode()
    return made | {name: page.encode() for name, page in pages.items()}


def _links(files: Mapping[str, str]) -> str:
    links = [f"[{name}]({file})" for name, file in files.items()]
    return f"\nFigures: {', '.join(links)}.\n" if links else ""
