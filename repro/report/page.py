"""The page: one file that opens from disk, in a section for each study."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any

from repro.figures.style import title
from repro.records import RunDirectory
from repro.report import svg
from repro.report.outcomes import RunResult
from repro.report.sources import Section
from repro.report.tables import Table, to_html
from repro.report.words import caption, claim_in_words, heading, missing, reservations
from repro.studies.claims import Verdict
from repro.studies.plan import duration

_ENVIRONMENT = (
    "device",
    "precision",
    "world_size",
    "threads",
    "cores",
    "processor",
    "platform",
    "parameters",
    "started",
)
# A link to a run unfolds it, and printing unfolds all: paper cannot.
_SCRIPT = """
const unfold = () => {
  const it = document.getElementById(location.hash.slice(1))
  if (it?.localName === 'details') it.open = true
}
// A column's heading sorts by it; a figure that is clicked fills the window until the next click or Escape.
const value = cell => {
  const text = cell.textContent.replaceAll(',', '').replace('\u2212', '-').replace(/^\u00d7 /, '')
  const number = text === '\u221e' ? Infinity : parseFloat(text)
  return isNaN(number) ? text : number
}
document.querySelectorAll('th[data-column]').forEach(head => head.addEventListener('click', () => {
  const body = head.closest('table').tBodies[0], column = +head.dataset.column
  const down = head.ariaSort === 'ascending'
  head.closest('thead').querySelectorAll('th').forEach(it => it.removeAttribute('aria-sort'))
  head.ariaSort = down ? 'descending' : 'ascending'
  const inWords = (a, b) => a.localeCompare(b, 'en', {numeric: true})
  const order = (a, b) => typeof a !== typeof b ? (typeof a === 'number' ? -1 : 1)
    : typeof a === 'number' ? (a > b) - (a < b) : inWords(a, b)
  const rows = [...body.rows].sort((a, b) => order(value(a.cells[column]), value(b.cells[column])))
  body.append(...(down ? rows.reverse() : rows))
}))
document.querySelectorAll('figure svg').forEach(it => it.addEventListener('click', () => {
  const whole = document.createElement('dialog')
  whole.append(it.cloneNode(true))
  whole.addEventListener('click', () => whole.close())
  whole.addEventListener('close', () => whole.remove())
  document.body.append(whole)
  whole.showModal()
}))
addEventListener('hashchange', unfold)
addEventListener('beforeprint', () => document.querySelectorAll('details').forEach(it => it.open = true))
unfold()
"""


def page(title_text: str, parts: Sequence[str], contents: Mapping[str, str], *, headed: bool = False) -> str:
    """The whole document around the sections; a heading and a list of contents if there is more than one."""
    css = resources.files("repro.report").joinpath("page.css").read_text(encoding="utf-8").strip()
    css = css.replace("{LIGHT}", svg.colors(dark=False)).replace("{DARK}", svg.colors(dark=True))
    links = "".join(f'<li><a href="#{escape(key)}">{escape(name)}</a></li>' for key, name in contents.items())
    head = f"<h1>{escape(title_text)}</h1>" if headed or len(contents) > 1 else ""
    head += f"\n<nav><ul>{links}</ul></nav>" if len(contents) > 1 else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title_text)}</title>
<style>
{css}
</style>
</head>
<body>
<main>
{head}
{chr(10).join(parts)}
</main>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def study_section(
    section: Section,
    results: Sequence[RunResult],
    *,
    level: int,
    table: Table,
    judged: Sequence[Verdict],
    figures: Mapping[str, str],
    curves: Sequence[str | None],
) -> str:
    """The section of one study.

    Args:
        section: The study.
        results: Its runs.
        level: 1 if the page holds nothing else, 2 otherwise.
        table: The accuracy table.
        judged: Verdicts on the claims.
        figures: The figures' keys by name.
        curves: The key of each run's own curves; None where it has none to show.
    """
    key = section.key
    records = [outcome.records for outcome in results if outcome.records is not None]
    anchors = [_anchor(key, results, label) for label in section.labels]
    parts = [
        f"<h{level}>{escape(section.title)}</h{level}>",
        f'<p class="question">{escape(section.question)}</p>',
        _verdicts(section, judged),
        _results(section, table, anchors),
    ]
    for name, drawn in figures.items():
        sentences = caption(section, name, records)
        parts.append(f"<h3>{escape(heading(name))}</h3>")
        parts.append(figure(svg.place(drawn, label=" ".join(sentences[:2])), sentences))
    parts.append("<h3>Runs</h3>")
    for number, outcome in enumerate(results):
        if outcome.cell.run is not None:
            parts.append(_run(f"{key}-run-{number}", outcome, outcome.cell.run, curves[number]))
    if section.strays:
        lines = "".join(f"<li>{escape(stray)}</li>" for stray in section.strays)
        parts.append(f"<p>Runs in the study's folder that are no longer part of it:</p><ul>{lines}</ul>")
    if section.command:
        parts.append(f"<h3>How to reproduce</h3>\n<pre>{escape(section.command)}</pre>")
    return f'<section id="{key}">\n{chr(10).join(part for part in parts if part)}\n</section>'


def _anchor(key: str, results: Sequence[RunResult], label: str) -> str | None:
    """Where the first run of a label is described."""
    for number, outcome in enumerate(results):
        if outcome.cell.label == label and outcome.cell.run is not None:
            return f"#{key}-run-{number}"
    return None


def _verdicts(section: Section, judged: Sequence[Verdict]) -> str:
    if not judged:
        return ""
    scale = f" ({section.scale} run)" if section.scale else ""
    lines = [
        f'<li><span class="verdict {verdict.verdict.replace(" ", "-")}">{verdict.verdict}</span>'
        f"<span>{escape(claim_in_words(verdict.claim))}</span>"
        f'<span class="muted">{escape(claim_in_words(verdict.detail))}{scale}</span></li>'
        for verdict in judged
    ]
    return f'<ul class="verdicts">\n{chr(10).join(lines)}\n</ul>'


def _results(section: Section, table: Table, anchors: Sequence[str | None]) -> str:
    parts = ["<h3>Results</h3>", to_html(table, anchors)]
    source = f"Paper: {section.where}. " if section.paper_values else ""
    preset = f"Preset: {section.preset}. " if section.preset else ""
    parts.append(f'<p class="muted">{escape(source + preset)}Accuracies are of the final epoch, over whole sets.</p>')
    if note := reservations(section):
        parts.append(f'<p class="note">{escape(note)}</p>')
    if left := missing(section):
        parts.append(f"<p>{escape(left)}</p>")
    if section.expected:
        parts.append(f"<p>Expected: {escape(section.expected)}</p>")
    return "\n".join(parts)


def figure(drawn: str, sentences: Sequence[str]) -> str:
    """A figure's SVG, or its place, with its caption, a paragraph a sentence."""
    text = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)
    return f'<figure><div class="scroll">{drawn}</div>{text and f"<figcaption>{text}</figcaption>"}</figure>'


def _run(anchor: str, outcome: RunResult, run: RunDirectory, curves: str | None) -> str:
    cell = outcome.cell
    facts = [outcome.status, *([duration(outcome.seconds)] if outcome.seconds is not None else [])]
    parts = [_facts({"status": outcome.status, "folder": run.name, **_numbers(outcome), **_state(run)})]
    if run.lives:
        life = run.lives[-1]
        parts += ["<h4>Command</h4>", f"<pre>{escape(shlex.join(life.get('command', [])))}</pre>"]
        parts += ["<h4>Environment</h4>", _facts(_environment(run.lives))]
    configuration = run.config_path.read_text(encoding="utf-8", errors="replace").strip()
    parts += ["<h4>Configuration</h4>", f'<pre class="configuration">{escape(configuration)}</pre>']
    if curves is not None:
        label = f"Training curves of {title(cell.label)}, seed {cell.seed}"
        parts += ["<h4>Curves</h4>", figure(svg.place(curves, label=label, folded=True), [])]
    name = title(cell.label) if cell.label == cell.name else f"{title(cell.label)}, seed {cell.seed}"
    summary = f"{escape(name)} <span>{escape(', '.join(facts))}</span>"
    body = "\n".join(parts)
    return f'<details id="{anchor}"><summary>{summary}</summary>\n<div>\n{body}\n</div></details>'


def _numbers(outcome: RunResult) -> dict[str, str]:
    return {name.replace("_", " "): f"{value:.6g}" for name, value in outcome.final.items()}


def _state(run: RunDirectory) -> dict[str, Any]:
    return {name: run.state[name] for name in ("step", "epoch", "seconds") if name in run.state}


def _environment(lives: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the run's last life ran on, without the host's name."""
    life = lives[-1]
    dirty = " (with uncommitted changes)" if life.get("dirty") else ""
    shown = {
        "versions": ", ".join(f"{name} {version}" for name, version in life.get("versions", {}).items()),
        "commit": f"{life['commit']}{dirty}" if life.get("commit") else "unknown",
        **{key: life[key] for key in _ENVIRONMENT if key in life},
    }
    return {**shown, "lives": len(lives)} if len(lives) > 1 else shown


def _facts(facts: Mapping[str, Any]) -> str:
    lines = [
        f"<dt>{escape(str(name).replace('_', ' '))}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items()
    ]
    return f"<dl>\n{chr(10).join(lines)}\n</dl>"
