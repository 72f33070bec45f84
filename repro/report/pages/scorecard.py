"""The overview: a card for each artefact, that says in ten seconds what was found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from repro.figures.asked import Answers
from repro.figures.style import looks, title
from repro.measurements.quantities import in_words
from repro.report.outcomes import ACCURACIES, RunResult, values_of
from repro.report.pages import thumbnail
from repro.report.sources import Section
from repro.report.tables import digits, form_of, spread
from repro.studies.claims import parse
from repro.studies.verdict import Verdict

VERDICTS = {"holds": "✓", "mixed": "◐", "fails": "✗", "not run": "○", "left out": "–"}
"""Each verdict's mark."""
COUNTED = {"holds": "hold", "mixed": "mixed", "fails": "fail", "not run": "not run", "left out": "left out"}
"""In a count."""
_OPTIONS = {"mixed": "is mixed", "not run": "was not run", "left out": "is left out"}
_MOST_BARS = 10
_KEY = """<details class="key"><summary>How to read this page</summary><div>
<p>A card is a table, a figure or a section of a paper. It names one number, ours beside the paper's or beside what a
claim asks for. A claim is a statement of the paper about numbers. It <b>holds</b> if it does for every random seed, is
<b>mixed</b> if it does for some, or if a difference is within the spread of the seeds, and <b>fails</b> if it does for
none. <b>Left out</b>: this size does not have the networks that it compares.</p>
<p>Sizes: <b>full</b> is as in the paper, <b>cpu</b> and <b>night</b> are for two processor cores, <b>smoke</b> only
shows that everything works. <b>Reduced</b>: smaller than in the paper, in what the card's page names. Bars are our
test accuracies, the lines across them the paper's; other drawings are the first figure of the card's page.</p>
</div></details>"""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What the overview says of a section."""

    where: str
    title: str
    says: str
    """What should come out, or what was asked."""
    main: list[str] = field(default_factory=list)
    """What is compared, ours, beside what, and that; empty where there is nothing to compare."""
    verdicts: list[str] = field(default_factory=list)
    """Of each claim."""
    paper: str = ""
    size: str = ""
    """The preset; not run, if nothing was."""
    scale: str = ""
    seeds: str = ""
    runs: str = ""
    drawing: str = ""
    """SVG."""

    @property
    def counts(self) -> Counter[str]:
        """How many claims have which verdict."""
        return Counter(self.verdicts)


def card(
    section: Section, results: Sequence[RunResult] = (), judged: Sequence[Verdict] = (), answers: Answers | None = None
) -> Card:
    """The card of a section, of its runs (none if nothing was run) and the verdicts on its claims.

    `answers` are those of the figure from which the card's drawing is made, if it is not made of accuracies.
    """
    done = sum(outcome.ended for outcome in results)
    of_accuracies = answers is None or any("test_accuracy" in values for values in section.published.values())
    drawing = (_bars(section, results) if of_accuracies else "") or (thumbnail.lines(answers) if answers else "")
    return Card(
        where=section.where,
        title=section.title,
        says=_sentence(section.expected or section.question),
        main=_main(section, results, judged),
        verdicts=[verdict.verdict for verdict in judged] or ["not run"] * len(section.claims),
        paper=section.paper,
        size=(section.preset or "own") if results else "not run",
        scale=section.scale if results else "",
        seeds=_seeds(results),
        runs=f"{done} of {len(section.cells)} run{'s' * (len(section.cells) > 1)}",
        drawing=drawing,
    )


def _sentence(text: str) -> str:
    """The first sentence; "Fig. 9" ends none."""
    match = re.match(r".*?(?<!Fig)(?<!Eq)(?<!e\.g)[.?!](?=\s|$)", text, re.DOTALL)
    return match[0] if match else text


def _seeds(results: Sequence[RunResult]) -> str:
    """``2 of 3 seeds``: how many every network has of the most that any is to have."""
    ended: dict[str, int] = {}
    for outcome in results:
        ended[outcome.cell.label] = ended.get(outcome.cell.label, 0) + outcome.ended
    wanted = max(Counter(outcome.cell.label for outcome in results).values(), default=0)
    if not wanted:
        return ""
    low, high = min(ended.values()), max(ended.values())
    found = f"{low}" if low == high else f"{low} to {high}"
    return f"{found} seed{'s' * (high > 1)}" if high == wanted else f"{found} of {wanted} seeds"


def _main(section: Section, results: Sequence[RunResult], judged: Sequence[Verdict]) -> list[str]:
    """The main number: the first of the paper's that we have too, test accuracies before others; else of a claim."""
    order = ["test_accuracy", *ACCURACIES, *(name for values in section.published.values() for name in values)]
    for quantity in dict.fromkeys(order):
        form = form_of(quantity)
        for label, values in section.published.items():
            if quantity in values and (ours := values_of(results, quantity, label)):
                paper = values[quantity]
                deviation = "" if paper.deviation is None else f" ± {form(paper.deviation)}"
                what = f"{title(label)}, {in_words(quantity)}"
                return [what, spread(ours, form), "paper", form(paper.mean) + deviation]
    told = [(parse(verdict.claim), verdict) for verdict in judged if verdict.verdict not in ("not run", "left out")]
    for claim, _ in told:
        if len(claim.cells) == 1:
            cell = claim.cells[0]
            form = form_of(cell.quantity)
            what = f"{title(cell.label)}, {in_words(cell.quantity)}"
            return [what, spread(values_of(results, cell.quantity, cell.label), form), "claim", _bounds(claim.bounds)]
    for claim, _ in told:
        what = " and ".join(title(cell.label) for cell in claim.cells)
        quantity = in_words(claim.cells[-1].quantity) or ""
        both = [spread(values_of(results, cell.quantity, cell.label), digits) for cell in claim.cells]
        relation = "first is larger" if ">" in claim.sign else "first is smaller"
        return [f"{what}, {quantity}", " and ".join(both), "claim", relation]
    return []


def _bounds(bounds: tuple[float, float]) -> str:
    low, high = bounds
    if low == high:
        return digits(low)
    if high == float("inf"):
        return f"≥ {digits(low)}"
    return f"≤ {digits(high)}" if low == float("-inf") else f"{digits(low)} to {digits(high)}"


def _bars(section: Section, results: Sequence[RunResult]) -> str:
    labels = section.labels
    if not 0 < len(labels) <= _MOST_BARS:
        return ""
    values = []
    for label in labels:
        ours = values_of(results, "test_accuracy", label)
        paper = section.published.get(label, {}).get("test_accuracy")
        values.append((sum(ours) / len(ours) if ours else None, None if paper is None else paper.mean))
    look = looks(labels)
    return thumbnail.bars(values, [look[label] for label in labels])


def overview(heading: str, cards: Mapping[str, Card], links: Mapping[str, str], below: str) -> str:
    """The overview's HTML, of cards by a section's key, with links to the sections that have a page, and HTML below."""
    counts: Counter[str] = sum((card.counts for card in cards.values()), Counter())
    run = sum(card.size != "not run" for card in cards.values())
    text = f"{run} of {len(cards)} artefacts have been run." if counts else f"{len(cards)} groups of runs."
    total = f'<p class="total">{_marks(counts)}</p>{_bar(counts)}' if counts else ""
    parts = [
        f"<h1>{escape(heading)}</h1>",
        f"<p>{text}{' What became of their claims:' if counts else ''}</p>",
        total,
        _KEY if counts else "",
        _filter(cards.values()),
        '<ul class="cards">',
        *(_card(card, links.get(key)) for key, card in cards.items()),
        "</ul>",
        below,
    ]
    return "\n".join(part for part in parts if part)


def badge(kind: str, text: str) -> str:
    """A verdict's mark with what is said of it, as HTML."""
    return f'<span class="verdict {_css(kind)}"><span aria-hidden="true">{VERDICTS[kind]}</span> {text}</span>'


def _css(text: str) -> str:
    return text.replace(" ", "-")


def _marks(counts: Counter[str]) -> str:
    return " ".join(badge(kind, f"{counts[kind]} {COUNTED[kind]}") for kind in VERDICTS if counts[kind])


def _bar(counts: Counter[str]) -> str:
    parts = (f'<span class="{_css(kind)}" style="flex:{counts[kind]}"></span>' for kind in VERDICTS if counts[kind])
    return f'<div class="bar" aria-hidden="true">{"".join(parts)}</div>'


def _filter(cards: Iterable[Card]) -> str:
    """Choices of what to show, where there is something to choose."""
    cards = list(cards)
    choices = {
        "paper": ("paper", dict.fromkeys(card.paper for card in cards if card.paper)),
        "verdicts": (
            "with a claim that",
            dict.fromkeys(kind for kind in VERDICTS for card in cards if card.counts[kind]),
        ),
        "size": ("size", dict.fromkeys(card.size for card in cards)),
    }
    asked = []
    for name, (word, values) in choices.items():
        if len(values) < 2:
            continue
        options = "".join(
            f'<option value="{escape(_css(value))}">{escape(_OPTIONS.get(value, value))}</option>' for value in values
        )
        asked.append(f'<label>{word} <select name="{name}"><option value="">any</option>{options}</select></label>')
    return f'<form class="filter">{"".join(asked)}<output aria-live="polite"></output></form>' if asked else ""


def _card(card: Card, link: str | None) -> str:
    name = f'<a href="{escape(link)}">{escape(card.title)}</a>' if link else escape(card.title)
    main = ""
    if card.main:
        what, ours, beside, other = map(escape, card.main)
        main = f'<p class="main"><span>{what}</span> <span class="muted">ours</span> <b>{ours}</b>'
        main += f' <span class="muted">{beside}</span> <b>{other}</b></p>'
    kinds = " ".join(_css(kind) for kind in VERDICTS if card.counts[kind])
    size = f"{card.size} ({card.scale})" if card.scale else card.size
    facts = " · ".join(filter(None, [size, card.seeds, card.runs]))
    return (
        f'<li class="card{"" if link else " left"}" data-paper="{escape(card.paper)}" data-verdicts="{kinds}" '
        f'data-size="{escape(_css(card.size))}">\n'
        f'<div class="thumb">{card.drawing}</div>\n'
        f'<div><p class="where">{escape(card.where)}</p><h2>{name}</h2><p>{escape(card.says)}</p>{main}'
        f'<p class="marks">{_marks(card.counts)}</p><p class="muted">{escape(facts)}</p></div></li>'
    )
