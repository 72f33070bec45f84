"""From run directories to a folder with the page, the tables and the figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from repro.report.folder import put
from repro.report.memory import NAME, Memory

if TYPE_CHECKING:
    from repro.report.overview import Entry
    from repro.report.sources import Section
    from repro.studies.forecast import Forecast

_FORECAST = "forecast"


def build(paths: Sequence[Path], out: Path) -> Path:
    """`write` of what there is at some paths.

    Args:
        paths: Folders of studies, run directories, or folders that hold any of them.
        out: Folder for the report; made if missing.

    Raises:
        UserError: If no run is found at `paths`, a path does not exist, a manifest cannot be read, or `out` cannot be
            written.

    Example:
        >>> print(build([Path("runs/single")], Path("page")))
        page/index.html
    """
    from repro.report import sources

    return write(sources.sections(paths), out)


def build_all(folders: Sequence[Path], out: Path) -> Path:
    """`write` of every study: an overview of all of them, a section for each of which there are runs, the theory.

    Args:
        folders: Of run directories, such as ``runs`` and ``results``.
        out: Folder for the report; made if missing.
    """
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

    Everything is drawn before anything is written, and each file replaces its predecessor in one step, the page last.
    The same records give the same bytes. What an earlier report in this folder was made of is not made again.

    Args:
        sections: What to report on.
        out: Folder for the report; made if missing.
        entries: Of the overview that stands above it.
        proven: Parts of the page on the theory, that stand below it.
        told: What first readings foretell, for the part on causes.
        memory: Of this folder, if it was read already.

    Returns:
        The page's path.

    Raises:
        UserError: If `out` cannot be written, or a process that draws was killed.
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

    Args:
        sections: What to report on.
        entries: Of the overview that stands above it.
        proven: Parts of the page on the theory, that stand below it.
        told: What first readings foretell.
        memory: What earlier reports made.
        pictures: Whether figures come as PNG too.
    """
    from repro.figures import to_svg
    from repro.report import cause, overview, page, svg
    from repro.report.tables import to_markdown
    from repro.report.together import render

    level = 1 if len(sections) == 1 and not entries else 2
    rendered, drawn = render(sections, level, memory or Memory(), pictures=pictures)
    made: dict[str, bytes] = {}
    names: dict[str, str] = {}  # of figures' files: what several sections show is one file
    markdown = []
    for section, written in zip(sections, rendered, strict=True):
        for name, key in written.figures.items():
            if key not in names:
                names[key] = f"figures/{section.key}-{name}.svg"
                made[names[key]] = drawn[key].encode()
                if pictures:
                    made[names[key].replace(".svg", ".png")] = drawn[f"{key}.png"]
        made[f"tables/{section.key}.csv"] = written.csv.encode()
        made[f"tables/{section.key}.tex"] = written.latex.encode()
        markdown.append(written.markdown + _links({name: names[key] for name, key in written.figures.items()}))
    title = sections[0].title if len(sections) == 1 else "Report"
    parts = [written.part for written in rendered]
    if entries:
        shown = [(section, written.figures) for section, written in zip(sections, rendered, strict=True)]
        drawn |= {_FORECAST: to_svg(cause.drawn(told))} if told else {}
        parts = [part for part in (cause.part(shown, told, _FORECAST), *parts) if part]
    parts = svg.fill(parts, drawn)
    if entries:
        counts = {section.key: written.counts for section, written in zip(sections, rendered, strict=True)}
        title = "Two papers on skip connections, artefact by artefact"
        markdown[:0] = [f"# {title}\n\n{to_markdown(overview.table(entries, counts))}\n"]
        markdown += [f"## {cause.TITLE}\n\n{to_markdown(cause.table(told))}\n"] if told else []
        parts = [overview.html(entries, counts, theory=bool(proven)), *parts, *proven]
    elif len(sections) > 1:
        markdown.insert(0, f"# {title}\n")
    made["tables.md"] = "\n".join(markdown).encode()
    results = [result for written in rendered for result in written.results]
    made["results.json"] = (json.dumps(results, indent=1, ensure_ascii=False) + "\n").encode()
    contents = {} if entries else {section.key: section.title for section in sections}
    made["index.html"] = page.page(title, parts, contents, headed=bool(entries)).encode()
    return made


def _links(files: Mapping[str, str]) -> str:
    links = [f"[{name}]({file})" for name, file in files.items()]
    return f"\nFigures: {', '.join(links)}.\n" if links else ""
