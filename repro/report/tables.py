"""The accuracy table, once: as HTML for the page and as Markdown for the file."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from repro import text
from repro.figures.style import title
from repro.measurements.kappa import BEYOND, SINGULAR
from repro.measurements.quantities import in_words
from repro.report.outcomes import ACCURACIES, RunResult, values_of
from repro.report.sources import Section
from repro.report.words import missing, reservations, span, verdict_lines
from repro.studies.plan import duration
from repro.studies.spread import Summary, chance, summary, welch
from repro.studies.verdict import Verdict
from repro.text import no_formula, printable

_NONE = "–"
_INFINITE = {"weights": "weights", "representations": "representations, channel mode", "matrix": "as matrices"}
_LATEX = str.maketrans(
    {
        **{sign: rf"\{sign}" for sign in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "×": r"$\times$",
        "−": "$-$",
        "–": "--",
        "∞": r"$\infty$",
        "σ": r"$\sigma$",
        "κ": r"$\kappa$",
    }
)


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    group: str
    """What stands over this column and its neighbours of the same group; may be empty."""
    name: str
    numeric: bool = True

    @property
    def full_name(self) -> str:
        """The heading where there is one row of headings only."""
        return f"{self.group}: {self.name}" if self.group else self.name


@dataclass(frozen=True)
class Table:
    """Columns, and rows of text."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]


def accuracy_table(section: Section, results: Sequence[RunResult]) -> Table:
    """A row for each label: accuracies and what else the paper has values of, growth of the first layer, status, time.

    Several seeds become mean ± sample standard deviation over those that have a result. Where the paper gives
    deviations too, p is of Welch's two-sided t-test of no difference between its mean and ours.
    """
    several = len(section.labels) < len(section.cells)
    of_paper = [value for values in section.published.values() for value in values.values()]
    tested = several and any(value.deviation is not None for value in of_paper)
    grown = any("first_layer_growth" in outcome.quantities for outcome in results)
    shown = dict.fromkeys([*ACCURACIES, *(name for values in section.published.values() for name in values)])
    headings = dict.fromkeys(name for values in section.settings.values() for name in values if name != "network")
    columns = [Column("", "network", numeric=False), *(Column("", name, numeric=False) for name in headings)]
    for quantity in shown:
        name = in_words(quantity) or quantity
        if any(quantity in values for values in section.published.values()):
            compared = "difference" if quantity in ACCURACIES else "ours / paper"
            columns += [Column(name, head) for head in ("ours", "paper", compared, *(["Welch's p"] if tested else []))]
        else:
            columns.append(Column("", name))
    columns += [Column("", "first layer's σmax, end / start")] if grown else []
    infinite = [key for key in _INFINITE if any(outcome.quantities.get(f"{key}_infinite") for outcome in results)]
    columns += [Column(f"layers with infinite κ: {SINGULAR} + {BEYOND}", _INFINITE[key]) for key in infinite]
    columns += [Column("", "status", numeric=False), Column("", "time")]
    if several:
        columns.insert(1 + len(headings), Column("", "seeds"))
    rows = []
    for label in section.labels:
        of_label = [outcome for outcome in results if outcome.cell.label == label]
        ended = sum(outcome.ended for outcome in of_label)
        settings = section.settings.get(label, {})
        row = [settings.get("network", title(label)), *(settings.get(name, _NONE) for name in headings)]
        row += [*([f"{ended} of {len(of_label)}"] if several else [])]
        for quantity in shown:
            row += _compared(section, quantity, label, values_of(of_label, quantity), tested=tested)
        row += [spread(values_of(of_label, "first_layer_growth"), factor)] if grown else []
        for key in infinite:
            counts = [values_of(of_label, f"{key}_{kind}") for kind in ("singular", "beyond_float32")]
            row.append(" + ".join(map(span, counts)) if all(counts) else _NONE)
        rows.append([*row, _statuses(of_label), spread(values_of(of_label, "seconds"), duration)])
    return Table(columns, rows)


def _compared(section: Section, quantity: str, label: str, ours: Sequence[float], *, tested: bool) -> list[str]:
    """Our value; where the paper has values of this quantity, its own, how they differ, and perhaps p."""
    form = form_of(quantity)
    row = [spread(ours, form)]
    if not any(quantity in values for values in section.published.values()):
        return row
    paper = section.published.get(label, {}).get(quantity)
    row.append(_NONE if paper is None else _with_deviation(paper, form))
    if paper is None or not ours:
        return [*row, _NONE, *([_NONE] if tested else [])]
    mean = summary(ours).mean
    row.append(signed(mean - paper.mean) if quantity in ACCURACIES else factor(mean / paper.mean))
    if tested:
        p = welch(summary(ours), paper)
        row.append(_NONE if math.isnan(p) else chance(p))
    return row


def _statuses(of_label: Sequence[RunResult]) -> str:
    counts = Counter(outcome.status for outcome in of_label)
    if len(of_label) == 1:
        return of_label[0].status
    return ", ".join(f"{count} {status}" for status, count in counts.items())


def percent(value: float) -> str:
    """A value in per cent, two decimals as in the papers."""
    return f"{value:.2f}" if math.isfinite(value) else "non-finite"


def form_of(quantity: str) -> Callable[[float], str]:
    """How a quantity's values are written."""
    return percent if quantity in ACCURACIES else factor if quantity == "first_layer_growth" else digits


def digits(value: float) -> str:
    """A value to three digits."""
    return "non-finite" if math.isnan(value) else text.number(value)


def signed(value: float) -> str:
    """A difference with its sign, a true minus."""
    return f"{value:+.2f}".replace("-", "−") if math.isfinite(value) else _NONE


def factor(value: float) -> str:
    """How many times, two or three digits."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "non-finite"
    return f"× {float(f'{value:.2g}'):,.0f}" if value >= 10 else f"× {value:.2f}"


def spread(values: Sequence[float], form: Callable[[float], str]) -> str:
    """One value, or mean ± deviation of several; the lowest and highest where there is none, as one is not finite."""
    if not values:
        return _NONE
    if len(set(values)) > 1 and not all(map(math.isfinite, values)):
        finite = sorted(filter(math.isfinite, values))
        ends = [form(value) for value in (*finite[:1], *(value for value in values if not math.isfinite(value)))]
        return " to ".join(dict.fromkeys([ends[0], ends[-1]]))
    return _with_deviation(summary(values), form)


def _with_deviation(value: Summary, form: Callable[[float], str]) -> str:
    if value.deviation is None or not math.isfinite(value.mean):
        return form(value.mean)
    return f"{form(value.mean)} ± {form(value.deviation).removeprefix('× ')}"


def to_html(table: Table, links: Sequence[str | None]) -> str:
    """The table as HTML with two rows of headings; `links` holds the address behind each row's first cell, or None."""
    above, below = [], []
    groups = [column.group for column in table.columns]
    for number, column in enumerate(table.columns):
        side = "" if column.numeric else ' class="text"'
        if not column.group:
            above.append(f'<th scope="col" rowspan="2" data-column="{number}"{side}>{escape(column.name)}</th>')
            continue
        if number == 0 or groups[number - 1] != column.group:
            above.append(f'<th scope="colgroup" colspan="{groups.count(column.group)}">{escape(column.group)}</th>')
        below.append(f'<th scope="col" data-column="{number}">{escape(column.name)}</th>')
    head = f"<tr>{''.join(above)}</tr>\n<tr>{''.join(below)}</tr>"
    body = []
    for row, link in zip(table.rows, links, strict=True):
        name = f'<a href="{escape(link)}">{escape(row[0])}</a>' if link else escape(row[0])
        cells = [
            f"<td{'' if column.numeric else ' class=text'}>{escape(cell)}</td>"
            for column, cell in zip(table.columns[1:], row[1:], strict=True)
        ]
        body.append(f'<tr><th scope="row" class="text">{name}</th>{"".join(cells)}</tr>')
    return f'<div class="scroll"><table>\n<thead>{head}</thead>\n<tbody>\n{chr(10).join(body)}\n</tbody></table></div>'


def to_markdown(table: Table) -> str:
    """The table as Markdown."""

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(printable(cell).replace('|', chr(92) + '|') for cell in cells)} |"

    rule = ["---:" if column.numeric else "---" for column in table.columns]
    heads = [column.full_name for column in table.columns]
    return "\n".join(map(line, [heads, rule, *table.rows]))


def to_csv(table: Table) -> str:
    """The table as CSV, one row of headings."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    rows = [[column.full_name for column in table.columns], *table.rows]
    writer.writerows([[no_formula(cell) for cell in row] for row in rows])
    return buffer.getvalue()


def to_latex(table: Table) -> str:
    """The table as a LaTeX tabular, for the package booktabs."""

    def line(cells: Sequence[str]) -> str:
        return " & ".join(cell.translate(_LATEX) for cell in cells) + r" \\"

    sides = "".join("r" if column.numeric else "l" for column in table.columns)
    heads = line([column.full_name for column in table.columns])
    body = [rf"\begin{{tabular}}{{{sides}}}", r"\toprule", heads, r"\midrule", *map(line, table.rows), r"\bottomrule"]
    return "\n".join([*body, r"\end{tabular}", ""])


def markdown_section(section: Section, table: Table, judged: Sequence[Verdict], *, level: int) -> str:
    """A section of ``tables.md``: question, verdicts, the table with what is reduced, the command."""
    parts = [f"{'#' * level} {section.title}", section.question]
    parts += [verdict_lines(section, judged), to_markdown(table), reservations(section), missing(section)]
    parts += [f"Left out: {damage}" for damage in section.damage]
    if section.command:
        parts.append(f"Made by `{section.command}`.")
    return "\n\n".join(part for part in parts if part) + "\n"
