"""From run directories to a folder with the page, the tables and the figures."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from repro.errors import UserError

if TYPE_CHECKING:
    from repro.report.overview import Entry
    from repro.report.sources import Section


def build(paths: Sequence[Path], out: Path) -> Path:
    """`write` of what there is at some paths.

    Args:
        paths: Folders of studies, run directories, or folders that hold any of them.
        out: Folder for the report; made if missing.

    Raises:
        UserError: If no run is found at `paths`, a path does not exist, a manifest cannot be read, or `out` cannot be
            written.
    """
    from repro.report import sources

    return write(sources.sections(paths), out)


def build_all(folders: Sequence[Path], out: Path) -> Path:
    """`write` of every study: an overview of all of them, a section for each of which there are runs, the theory.

    Args:
        folders: Of run directories, such as ``runs`` and ``results``.
        out: Folder for the report; made if missing.
    """
    from repro.report import overview, sources, theory

    found = overview.entries(folders)
    sections = sources.distinct([each.section for each in found])
    found = [replace(each, section=section) for each, section in zip(found, sections, strict=True)]
    proven = [part for folder in folders for part in theory.sections(folder / "theory")]
    return put(files([each.section for each in found if each.done], found, proven), out)


def write(sections: Sequence[Section], out: Path) -> Path:
    """Write the report: ``index.html``, ``tables.md``, ``tables/`` (CSV, LaTeX), ``results.json`` and ``figures/``.

    Everything is drawn before anything is written, and each file replaces its predecessor in one step, the page last.
    The same records give the same bytes.

    Args:
        sections: What to report on.
        out: Folder for the report; made if missing.

    Returns:
        The page's path.

    Raises:
        UserError: If `out` cannot be written.
    """
    return put(files(sections), out)


def put(contents: Mapping[str, bytes], out: Path) -> Path:
    """Write a report's files, the page last, each in one step.

    Returns:
        The page's path.

    Raises:
        UserError: If `out` cannot be written.
    """
    try:
        for name, content in contents.items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, content)
    except OSError as error:
        raise UserError(
            f"cannot write the report to '{out}': {error.strerror}; name another folder with --out"
        ) from error
    return out / "index.html"


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def files(found: Sequence[Section], entries: Sequence[Entry] = (), proven: Sequence[str] = ()) -> dict[str, bytes]:
    """The report's files by their path in the folder, the page last.

    Args:
        found: What to report on.
        entries: Of the overview that stands above it.
        proven: Parts of the page on the theory, that stand below it.
    """
    from repro import figures  # Matplotlib and pandas take a second to import
    from repro.records import dump_json
    from repro.report import outcomes, overview, page, tables

    known = {each.section.key: each.outcomes for each in entries}
    made: dict[str, bytes] = {}
    parts, markdown, results = [], [], []
    for section in found:
        of_section = known.get(section.key) or outcomes.outcomes(section)
        records = [outcome.records for outcome in of_section if outcome.records is not None]
        table, judged = tables.accuracy_table(section, of_section), outcomes.verdicts(section, of_section)
        drawn = {}
        for name, figure in figures.draw(records, section.figures).items():
            drawn[name] = figures.to_svg(figure)
            made[f"figures/{section.key}-{name}.svg"] = drawn[name].encode()
            made[f"figures/{section.key}-{name}.png"] = figures.to_png(figure)
        curves = [
            figures.to_svg(figures.training.training_curves([outcome.records]))
            if len(records) > 1 and outcome.records is not None and figures.training.has_curves([outcome.records])
            else None
            for outcome in of_section
        ]
        level = 1 if len(found) == 1 and not entries else 2
        parts.append(
            page.study_section(
                section, of_section, level=level, table=table, judged=judged, figures=drawn, curves=curves
            )
        )
        made[f"tables/{section.key}.csv"] = tables.to_csv(table).encode()
        made[f"tables/{section.key}.tex"] = tables.to_latex(table).encode()
        markdown.append(tables.markdown_section(section, table, judged, level=level))
        results += [json.loads(dump_json(outcome.result(section))) for outcome in of_section]
    title = found[0].title if len(found) == 1 else "Report"
    if entries:
        title = "Two papers on skip connections, artefact by artefact"
        markdown.insert(0, f"# {title}\n\n{overview.markdown(entries)}")
        parts = [overview.html(entries, theory=bool(proven)), *parts, *proven]
    elif len(found) > 1:
        markdown.insert(0, f"# {title}\n")
    made["tables.md"] = "\n".join(markdown).encode()
    made["results.json"] = (json.dumps(results, indent=1, ensure_ascii=False) + "\n").encode()
    contents = {} if entries else {section.key: section.title for section in found}
    made["index.html"] = page.page(title, parts, contents, headed=bool(entries)).encode()
    return made
