"""A study's part of the page: verdicts, the table, its figures, its runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from repro.errors import UserError
from repro.figures.style import title
from repro.records import RunDirectory
from repro.records.files import read_whole
from repro.report.outcomes import MOST_DRAWN, RunResult, records_of
from repro.report.pages import svg
from repro.report.pages.scorecard import badge
from repro.report.sources import ReportCell, Section
from repro.report.tables import Table, to_html
from repro.report.words import caption, claim_in_words, heading, missing, reservations
from repro.studies.plan import duration
from repro.studies.verdict import Verdict

_KEYS = "Figure. Arrow keys read its values: left and right along a line, up and down between lines"
MOST_DESCRIBED = 100
"""Runs that a page describes one by one; of more it has the table alone."""
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


def study_section(
    section: Section,
    results: Sequence[RunResult],
    *,
    table: Table,
    judged: Sequence[Verdict],
    figures: Mapping[str, str],
    elsewhere: Mapping[str, str],
) -> str:
    """The section of one study: its runs, its accuracies, the verdicts on its claims, its figures' keys by name.

    `elsewhere`: where runs that another study's page describes are, by the run's name.
    """
    key = section.key
    anchors = [_anchor(key, results, label, elsewhere) for label in section.labels]
    parts = [
        f"<h1>{escape(section.title)}</h1>",
        f'<p class="question">{escape(section.question)}</p>',
        _verdicts(section, judged),
        _results(section, table, anchors),
    ]
    if figures and len(section.labels) > MOST_DRAWN:
        parts.append(
            f'<p class="note">The figures show the first {MOST_DRAWN} of {len(section.labels):,} networks.</p>'
        )
    for name, drawn in figures.items():
        sentences = caption(section, name, records_of(results))
        parts.append(f"<h2>{escape(heading(name))}</h2>")
        parts.append(figure(svg.place(drawn, label=" ".join(sentences[:2])), sentences))
    parts.append("<h2>Runs</h2>")
    parts += [f'<p class="note">Left out: {escape(damage)}</p>' for damage in section.damage]
    if elsewhere:
        page = next(iter(elsewhere.values()))
        parts.append(f'<p>These are <a href="{escape(page)}">runs of another study</a>, which describes them.</p>')
    own = [outcome for outcome in results if outcome.cell.run is not None and outcome.cell.name not in elsewhere]
    if len(own) > MOST_DESCRIBED:
        parts.append(
            f"<p>{len(own):,} runs are too many to describe here one by one; their folders have all details.</p>"
        )
    else:
        parts += [_run(anchor_of(key, outcome.cell), outcome, outcome.cell.run) for outcome in own if outcome.cell.run]
    if section.strays:
        lines = "".join(f"<li>{escape(stray)}</li>" for stray in section.strays)
        parts.append(f"<p>Runs in the study's folder that are no longer part of it:</p><ul>{lines}</ul>")
    if section.command:
        parts.append(f"<h2>How to reproduce</h2>\n<pre>{escape(section.command)}</pre>")
    return f'<section id="{key}">\n{chr(10).join(part for part in parts if part)}\n</section>'


def anchor_of(key: str, cell: ReportCell) -> str:
    """The name of the place where a section describes a run."""
    return f"{key}-run-{re.sub(r'[^A-Za-z0-9.-]+', '-', cell.name)}"


def _anchor(key: str, results: Sequence[RunResult], label: str, elsewhere: Mapping[str, str]) -> str | None:
    """Where the first run of a label is described."""
    for outcome in results:
        if outcome.cell.label == label and outcome.cell.run is not None:
            return elsewhere.get(outcome.cell.name, f"#{anchor_of(key, outcome.cell)}")
    return None


def _verdicts(section: Section, judged: Sequence[Verdict]) -> str:
    if not judged:
        return ""
    scale = f" ({section.scale} run)" if section.scale else ""
    lines = [
        f"<li>{badge(verdict.verdict, verdict.verdict)}<span>{escape(claim_in_words(verdict.claim))}</span>"
        f'<span class="muted">{escape(claim_in_words(verdict.detail))}{scale}</span></li>'
        for verdict in judged
    ]
    return f'<ul class="verdicts">\n{chr(10).join(lines)}\n</ul>'


def _results(section: Section, table: Table, anchors: Sequence[str | None]) -> str:
    parts = ["<h2>Results</h2>", to_html(table, anchors)]
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
    around = f'<div class="scroll" tabindex="0" role="group" aria-label="{_KEYS}">{drawn}</div>'
    return f"<figure>{around}{text and f'<figcaption>{text}</figcaption>'}</figure>"


def _run(anchor: str, outcome: RunResult, run: RunDirectory) -> str:
    cell = outcome.cell
    facts = [outcome.status, *([duration(outcome.seconds)] if outcome.seconds is not None else [])]
    numbers = {name.replace("_", " "): f"{value:.6g}" for name, value in outcome.final.items()}
    told: dict[str, Any] = {"status": outcome.status, "folder": cell.name, **numbers}
    state = run.state  # read once: the run may move meanwhile
    told |= {name: state[name] for name in ("reason", "step", "epoch", "seconds") if name in state}
    parts = [_facts(told)]
    if run.lives:
        life = run.lives[-1]
        parts += ["<h3>Command</h3>", f"<pre>{escape(shlex.join(life.get('command', [])))}</pre>"]
        parts += ["<h3>Environment</h3>", _facts(_environment(run.lives))]
    try:
        configuration = read_whole(run.config_path).decode("utf-8", "replace").strip()
    except (OSError, UserError) as error:
        configuration = str(error)
    parts += ["<h3>Configuration</h3>", f'<pre class="configuration">{escape(configuration)}</pre>']
    name = title(cell.label) if cell.label == cell.name else f"{title(cell.label)}, seed {cell.seed}"
    summary = f"{escape(name)} <span>{escape(', '.join(facts))}</span>"
    body = "\n".join(parts)
    return f'<details id="{anchor}"><summary>{summary}</summary>\n<div>\n{body}\n</div></details>'


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
