"""Small drawings for the overview: a figure's lines without their words, or a table's accuracies beside the paper's."""

from __future__ import annotations

from collections.abc import Sequence

from repro.figures.asked import Answers
from repro.figures.style import INK, MUTED, Look
from repro.report.pages.svg import color

_WIDE, _HIGH, _EDGE = 160, 96, 6
_POINTS = 48
"""At most so many of a line."""


def lines(answers: Answers) -> str:
    """The first panel of a figure; empty if nothing stands in it."""
    panel = next((panel for panel in answers["panels"] if panel["traces"]), None)
    if panel is None:
        return ""
    lists = answers["lists"]
    places = [list(zip(lists[trace["at"]][::2], lists[trace["at"]][1::2], strict=True)) for trace in panel["traces"]]
    everywhere = [place for of_trace in places for place in of_trace]
    (left, top), (right, bottom) = ([end(place[axis] for place in everywhere) for axis in (0, 1)] for end in (min, max))
    scales = [
        size / max(high - low, 1)
        for size, low, high in ((_WIDE - 2 * _EDGE, left, right), (_HIGH - 2 * _EDGE, top, bottom))
    ]
    drawn = []
    for trace, of_trace in zip(panel["traces"], places, strict=True):
        shown = of_trace[:: max(1, -(-len(of_trace) // _POINTS))]
        moved = [f"{_EDGE + (x - left) * scales[0]:.0f} {_EDGE + (y - top) * scales[1]:.0f}" for x, y in shown]
        faint = trace["when"] == "untrained"
        stroke = color(answers["networks"][trace["network"]]["color"])
        dots = ' stroke-linecap="round"' if len(moved) == 1 or trace["when"] == "held-out data" else ""
        path = " ".join(f"M{place}h0" for place in moved) if dots else f"M{' '.join(moved)}"
        width = 4 if dots else 0.8 if faint else 1.8
        drawn.append(f'<path d="{path}" stroke="{stroke}" stroke-width="{width}"{dots}/>')
    return _element("".join(drawn))


def bars(values: Sequence[tuple[float | None, float | None]], looks: Sequence[Look]) -> str:
    """Accuracies in per cent by network, ours as bars, the paper's as lines across; empty if there is none of ours."""
    if not any(ours is not None for ours, _ in values):
        return ""
    step = (_WIDE - 2 * _EDGE) / len(values)
    scale = (_HIGH - 2 * _EDGE) / 100
    drawn = [f'<path d="M{_EDGE} {_HIGH - _EDGE}H{_WIDE - _EDGE}" stroke="{color(MUTED)}" stroke-width="1"/>']
    for number, ((ours, paper), look) in enumerate(zip(values, looks, strict=True)):
        left, wide = _EDGE + step * (number + 0.15), 0.7 * step
        if ours is not None:
            high = max(ours * scale, 1)
            drawn.append(
                f'<rect x="{left:.1f}" y="{_HIGH - _EDGE - high:.1f}" width="{wide:.1f}" height="{high:.1f}" '
                f'fill="{color(look.color)}"/>'
            )
        if paper is not None:
            level = _HIGH - _EDGE - paper * scale
            drawn.append(
                f'<path d="M{left - 2:.1f} {level:.1f}h{wide + 4:.1f}" stroke="{color(INK)}" stroke-width="2"/>'
            )
    return _element("".join(drawn))


def _element(drawn: str) -> str:
    frame = f'viewBox="0 0 {_WIDE} {_HIGH}" preserveAspectRatio="xMinYMid"'
    return f'<svg {frame} fill="none" aria-hidden="true">{drawn}</svg>'
