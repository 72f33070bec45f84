"""The theory's page: a section for each statement, with its cases, figures and verdict."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.errors import UserError, leave_out, no_pipe
from repro.records import dump_json, put
from repro.records.form import read_json
from repro.report.pages import svg
from repro.report.pages.document import document
from repro.report.pages.section import figure
from repro.report.tables import Column, Table, to_html, to_markdown
from repro.theory import STATEMENTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from repro.theory import Result

Record = Mapping[str, Any]
"""What is written down of a statement."""
_NUMBERS, _FIGURE = "numbers/{}.json", "figures/{}-{}.svg"
TITLE = "The theory of two papers on skip connections, checked by experiment"
_INTRODUCTION = """Each statement is quoted and tested by an experiment with several cases. “Holds”: every case that
    meets the paper's conditions confirms it. “Holds under …”: some of these cases do not; those that also meet the
    condition named here, which the paper does not state, do. “Not supported”: we found no such condition. Cases that
    violate a condition of the paper, or look for something else, are shown but do not count."""


def write(results: Mapping[str, Result], out: Path, *, seed: int, command: str, kept: Path | None = None) -> Path:
    """Write ``index.html``, ``statements.md``, and for each statement ``numbers/NAME.json`` and ``figures/NAME-*``.

    Numbers and vector figures alone go to the folder `kept` too, of which `sections` makes parts of a page. Returns the
    page's path.
    """
    from repro.figures import to_png, to_svg

    lasting: dict[str, bytes] = {}
    pictures: dict[str, bytes] = {}
    records: dict[str, Record] = {}
    drawn: dict[str, list[str]] = {}
    for name, result in results.items():
        records[name] = json.loads(dump_json(_record(name, result, seed, command)))
        lasting[_NUMBERS.format(name)] = (dump_json(records[name]) + "\n").encode()
        drawn[name] = []
        for number, picture in enumerate(draw(result), 1):
            drawn[name].append(to_svg(picture))
            lasting[_FIGURE.format(name, number)] = drawn[name][-1].encode()
            pictures[f"figures/{name}-{number}.png"] = to_png(picture)
    if kept is not None:
        put(lasting, kept)
    parts = [
        f"<h1>{escape(TITLE)}</h1>",
        _overview(records),
        *(_section(record, drawn[name]) for name, record in records.items()),
    ]
    files = lasting | pictures
    files["statements.md"] = f"# {TITLE}\n\n{to_markdown(_table(records))}\n".encode()
    files["index.html"] = document(TITLE, "\n".join(parts)).encode()
    return put(files, out)


def sections(kept: Path) -> list[str]:
    """The theory as parts of a page, from a folder that `write` kept; none if nothing was kept there.

    Statements whose record cannot be read are left out, and named.
    """
    records: dict[str, Record] = {}
    parts: list[str] = []
    notes: list[str] = []
    for name in STATEMENTS:
        path = kept / _NUMBERS.format(name)
        if not path.exists():
            continue
        try:
            record: Record = read_json(path, {}) | {"statement": name}
            figures = (kept / _FIGURE.format(name, number) for number in itertools.count(1))
            there = itertools.takewhile(Path.exists, figures)
            drawn = [svg.harmless(no_pipe(file).read_text(encoding="utf-8")) for file in there]
            part, _ = _section(record, drawn), _overview({name: record})
        except (UserError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            damage = f"'{path}' or a figure of it is damaged ({error}); make it again with repro theory --keep"
            leave_out(damage)
            notes.append(f'<p class="note">Left out: {escape(damage)}</p>')
            continue
        records[name] = record
        parts.append(part)
    if not records:
        return notes
    return [f"<h1>{escape(TITLE)}</h1>", *notes, _overview(records), *parts]


def draw(result: Result) -> list[Figure]:
    """A result's figures: its rows of panels."""
    from repro.figures.panels import draw_panels
    from repro.figures.style import looks

    figures = []
    for panels in result.figures:
        labels = (trace.label for panel in panels for trace in panel.traces)
        width = {1: 8.5, 2: 11.5}.get(len(panels), 13.5)
        figures.append(draw_panels(panels, looks(labels), size=(width, 4.9)))
    return figures


def heading(name: str) -> str:
    """``Oyedotun, Theorem 1, Eq. 9``."""
    return f"{STATEMENTS[name].paper}, {STATEMENTS[name].place}"


def _table(records: Mapping[str, Record]) -> Table:
    columns = [Column("", text, numeric=False) for text in ("where", "statement", "verdict")]
    return Table(columns, [[heading(name), record["text"], record["verdict"]] for name, record in records.items()])


def _overview(records: Mapping[str, Record]) -> str:
    kinds = Counter(_kind(record["verdict"])[0] for record in records.values())
    words = {"holds": "hold", "holds under …": "hold under a condition", "not supported": "not supported"}
    counts = ", ".join(f"{kinds[kind]} {said}" for kind, said in words.items() if kinds[kind])
    links: Sequence[str | None] = [f"#{name}" for name in records]
    commands = {record["command"]: record["seed"] for record in records.values()}
    made = "\n".join(
        f'<p class="muted">Seed {escape(str(seed))}. To compute everything again:</p>\n<pre>{escape(command)}</pre>'
        for command, seed in commands.items()
    )
    return (
        f'<p class="question">{len(records)} statements: {escape(counts)}.</p>\n'
        f"<p>{escape(' '.join(_INTRODUCTION.split()))}</p>\n{to_html(_table(records), links)}\n{made}"
    )


def _kind(verdict: str) -> tuple[str, str]:
    """The verdict's first words and the page's class for them."""
    if verdict.startswith("holds under"):
        return "holds under …", "under"
    return verdict, "holds" if verdict == "holds" else "fails"


def _section(record: Record, drawn: Sequence[str]) -> str:
    name, verdict = record["statement"], record["verdict"]
    kind, css = _kind(verdict)
    rest = verdict.removeprefix("holds under").strip() if css == "under" else ""
    shown = kind.removesuffix(" …")
    parts = [
        f"<h2>{escape(heading(name))}</h2>",
        f'<p class="question">“{escape(record["text"])}”</p>',
        f'<p><span class="verdict {css}">{escape(shown)}</span> {escape(rest)}</p>',
        f"<p>{escape(record['computed'])}</p>",
        _cases(record),
    ]
    if record["remark"]:
        parts.append(f'<p class="note">{escape(record["remark"])}</p>')
    for number, drawing in enumerate(drawn, 1):
        caption = record["caption"]
        label = f"{heading(name)}: {caption}"
        inline = svg.inline(drawing, key=f"{name}-{number}", label=label)
        parts.append(figure(inline, [caption] if number == len(drawn) else []))
    parts.append(f'<p class="muted">To test it alone: <code>repro theory {name}</code></p>')
    return f'<section id="{name}">\n{chr(10).join(parts)}\n</section>'


def _cases(record: Record) -> str:
    columns = [Column("", text, numeric=False) for text in ("setting", "conditions", "conclusion", "found")]
    rows = [
        [case["setting"], _kept(case), "holds" if case["holds"] else "fails", case["found"]] for case in record["cases"]
    ]
    return to_html(Table(columns, rows), [None] * len(rows))


def _kept(case: Record) -> str:
    """Which conditions a case meets: all, or without which; or what it looks for instead."""
    without = [f"“{need['text']}” ({need['place']})" if need["place"] else need["text"] for need in case["drops"]]
    if case["conditions"] == "as stated":
        return f"the paper's; without {' and '.join(without)}"
    return "; ".join(
        [
            {"complete": "all", "beside": "beside the statement"}[case["conditions"]],
            *([f"without {' and '.join(without)}"] if without else []),
            *([f"looks for {case['instead']}"] if case["instead"] else []),
        ]
    )


def _record(name: str, result: Result, seed: int, command: str) -> Record:
    statement = STATEMENTS[name]
    return {
        "statement": name,
        "paper": statement.paper,
        "place": statement.place,
        "text": statement.text,
        "seed": seed,
        "command": command,
        "verdict": result.verdict,
        "computed": result.computed,
        "remark": result.remark,
        "caption": result.caption,
        "cases": [{**asdict(case), "conditions": case.conditions} for case in result.cases],
        "numbers": result.numbers,
    }
