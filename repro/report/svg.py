"""A figure's SVG made fit to stand inside a page, in the page's colours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

from repro.figures.style import DARK

_PLACE = re.compile(r'<svg data-figure="([^"]+)" data-folded="(\w+)" aria-label="([^"]*)"></svg>')


def place(figure: str, *, label: str, folded: bool = False) -> str:
    """Where a figure is to stand; `fill` puts it there.

    Args:
        figure: Its key.
        label: What it shows, for those who do not see it.
        folded: Whether a reader has to unfold the part that it stands in.
    """
    return f'<svg data-figure="{figure}" data-folded="{folded}" aria-label="{escape(label)}"></svg>'


def fill(parts: Sequence[str], drawn: Mapping[str, str]) -> list[str]:
    """The parts of a page with every figure once in full, wherever else it stands as a reference to that.

    What is folded anywhere stands in full in a part of its own at the beginning: what is not laid out cannot be
    referred to.

    Args:
        parts: With places.
        drawn: What `repro.figures.to_svg` returned, by key.
    """
    places = [match for part in parts for match in _PLACE.finditer(part)]
    names = {key: f"f{number}-" for number, key in enumerate(dict.fromkeys(match[1] for match in places))}
    inside = {key: _inside(drawn[key], name) for key, name in names.items()}
    stored = dict.fromkeys(match[1] for match in places if match[2] == "True")
    shown = set(stored)

    def put(match: re.Match[str]) -> str:
        key, label = match[1], match[3]
        box, content = inside[key]
        if key in shown:
            return _element(box, label, f'<use href="#{names[key]}"/>')
        shown.add(key)
        return _element(box, label, f'<g id="{names[key]}">{content}</g>')

    filled = [_PLACE.sub(put, part) for part in parts]
    if stored:
        content = "".join(f'<g id="{names[key]}">{inside[key][1]}</g>' for key in stored)
        filled.insert(0, f'<svg class="store" width="0" height="0" aria-hidden="true"><defs>{content}</defs></svg>')
    return filled


def inline(svg: str, *, key: str, label: str) -> str:
    """The `<svg>` element alone, scalable, described, and with colours that follow the page.

    Args:
        svg: What `repro.figures.to_svg` returns.
        key: Prefix of the names inside, so that the figures of one page do not share any.
        label: What the figure shows, for those who do not see it.
    """
    box, content = _inside(svg, f"{key}-")
    return _element(box, escape(label), content)


def _element(box: str, label: str, content: str) -> str:
    return f'<svg viewBox="{box}" role="img" aria-label="{label}" style="--natural:{box.split()[2]}pt">{content}</svg>'


def _inside(svg: str, key: str) -> tuple[str, str]:
    """The view box, and what the `<svg>` element holds with names of its own and the page's colours."""
    match = re.search(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>(.*)</svg>', svg, flags=re.DOTALL)
    assert match is not None
    box, svg = match[1], match[2]
    svg = re.sub(r"<metadata>.*?</metadata>\s*|<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda match: f' id="{key}{match[1]}"' if match[1] in used else "", svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{key}", svg).replace("xlink:href", "href")
    svg = re.sub(r' class="(\w+)"', rf' class="{key}\1"', svg)
    svg = re.sub(
        r"<style.*?</style>",
        lambda match: re.sub(r"\.([a-z]+)\{", rf".{key}\1{{", match[0]),
        svg,
        count=1,
        flags=re.DOTALL,
    )
    svg = re.sub(r"#[0-9a-f]{6}\b", lambda match: f"var(--{_name(match[0])})" if match[0] in DARK else match[0], svg)
    return box, svg.strip()


def _name(color: str) -> str:
    return f"c{color[1:]}"


def colors(*, dark: bool) -> str:
    """CSS that sets the colours which `inline` refers to."""
    return " ".join(f"--{_name(light)}: {shade if dark else light};" for light, shade in DARK.items())
