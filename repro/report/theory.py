"""The theory's page: a section for each statement, with its cases, figures and verdict."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from repro.records import dump_json
from repro.report import svg
from repro.report.build import put
from repro.report.page import figure, page
from repro.report.tables import Column, Table, to_html, to_markdown
from repro.theory import STATEMENTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from repro.theory import Result

_TITLE = "The theory of two papers on skip connections, checked by experiment"
_CONDITIONS = {"complete": "all that it needs", "as stated": "as stated", "beside": "for comparison"}
_INTRODUCTION = """Each statement was made an experiment and judged by its numbers. “Holds”: its conclusion was found
    wherever its conditions were met. “Holds under …”: the words alone are not enough, and with the condition named they
    are. “Not supported”: it was not found where its conditions were met. Cases for comparison decide nothing."""


def write(results: Mapping[str, Result], out: Path, *, seed: int, command: str) -> Path:
    """Write ``index.html``, ``statements.md``, and for each statement ``numbers/NAME.json`` and ``figures/NAME-*``.

    Args:
        results: By statement.
        out: Folder; made if missing.
        seed: That they were computed with.
        command: What makes them.

    Returns:
        The page's path.

    Raises:
        UserError: If `out` cannot be written.
    """
    from repro.figures import to_png, to_svg

    files: dict[str, bytes] = {}
    parts = [_overview(results, seed, command)]
    for name, result in results.items():
        drawn = []
        for number, each in enumerate(draw(result), 1):
            text = to_svg(each)
            drawn.append(text)
            files[f"figures/{name}-{number}.svg"] = text.encode()
            files[f"figures/{name}-{number}.png"] = to_png(each)
        files[f"numbers/{name}.json"] = (dump_json(_record(name, result, seed)) + "\n").encode()
        parts.append(_section(name, result, drawn))
    files["statements.md"] = f"# {_TITLE}\n\n{to_markdown(_table(results))}\n".encode()
    files["index.html"] = page(_TITLE, parts, {}, headed=True).encode()
    return put(files, out)


def draw(result: Result) -> list[Figure]:
    """A result's figures: its rows of panels."""
    from repro.figures.panels import draw_panels
    from repro.figures.style import looks, styled

    found = []
    for panels in result.figures:
        labels = (trace.label for panel in panels for trace in panel.traces)
        width = {1: 8.5, 2: 11.5}.get(len(panels), 13.5)
        with styled():
            found.append(draw_panels(panels, looks(labels), size=(width, 4.9)))
    return found


def heading(name: str) -> str:
    """``Oyedotun, Theorem 1, Eq. 9``."""
    return f"{STATEMENTS[name].paper}, {STATEMENTS[name].place}"


def line(name: str, result: Result) -> str:
    """A statement and its verdict in one line, for a terminal."""
    return f"{name:24} {result.verdict}"


def _table(results: Mapping[str, Result]) -> Table:
    columns = [Column("", text, numeric=False) for text in ("where", "statement", "verdict")]
    return Table(columns, [[heading(name), STATEMENTS[name].text, each.verdict] for name, each in results.items()])


def _overview(results: Mapping[str, Result], seed: int, command: str) -> str:
    kinds = Counter(_kind(result)[0] for result in results.values())
    words = {"holds": "hold", "holds under …": "hold under a condition", "not supported": "not supported"}
    counts = ", ".join(f"{kinds[kind]} {said}" for kind, said in words.items() if kinds[kind])
    links: Sequence[str | None] = [f"#{name}" for name in results]
    return (
        f'<p class="question">{len(results)} statements: {escape(counts)}.</p>\n'
        f"<p>{escape(' '.join(_INTRODUCTION.split()))}</p>\n{to_html(_table(results), links)}\n"
        f'<p class="muted">Seed {seed}. Everything is computed anew by</p>\n<pre>{escape(command)}</pre>'
    )


def _kind(result: Result) -> tuple[str, str]:
    """The verdict's first words and the page's class for them."""
    if result.verdict.startswith("holds under"):
        return "holds under …", "under"
    return result.verdict, "holds" if result.verdict == "holds" else "fails"


def _section(name: str, result: Result, drawn: Sequence[str]) -> str:
    statement = STATEMENTS[name]
    kind, css = _kind(result)
    rest = result.verdict.removeprefix("holds under").strip() if css == "under" else ""
    shown = kind.removesuffix(" …")
    parts = [
        f"<h2>{escape(heading(name))}</h2>",
        f'<p class="question">{escape(statement.text)}</p>',
        f'<p><span class="verdict {css}">{escape(shown)}</span> {escape(rest)}</p>',
        f"<p>{escape(result.computed)}</p>",
        _cases(result),
    ]
    if result.remark:
        parts.append(f'<p class="note">{escape(result.remark)}</p>')
    for number, each in enumerate(drawn, 1):
        last = number == len(drawn)
        label = f"{heading(name)}: {result.caption}"
        parts.append(figure(svg.inline(each, key=f"{name}-{number}", label=label), [result.caption] if last else []))
    parts.append(
        f'<p class="muted">Numbers: <a href="numbers/{name}.json">numbers/{name}.json</a>. '
        f"Alone: <code>repro theory {name}</code></p>"
    )
    return f'<section id="{name}">\n{chr(10).join(parts)}\n</section>'


def _cases(result: Result) -> str:
    columns = [Column("", text, numeric=False) for text in ("setting", "conditions", "conclusion", "found")]
    rows = [
        [each.setting, _CONDITIONS[each.conditions], "holds" if each.holds else "fails", each.found]
        for each in result.cases
    ]
    return to_html(Table(columns, rows), [None] * len(rows))


def _record(name: str, result: Result, seed: int) -> dict[str, object]:
    statement = STATEMENTS[name]
    return {
        "statement": name,
        "paper": statement.paper,
        "place": statement.place,
        "text": statement.text,
        "seed": seed,
        "verdict": result.verdict,
        "cases": [vars(each) for each in result.cases],
        "numbers": json.loads(dump_json(result.numbers)),
    }
