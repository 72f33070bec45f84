"""A figure's SVG made fit to stand inside a page, in the page's colours."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from html import escape
from typing import NotRequired, TypedDict

from repro.figures.style import DARK


class Drawn(TypedDict):
    """A figure as reports remember it."""

    svg: str
    """What `repro.figures.to_svg` returned."""
    asked: str
    """What can be asked of it (`repro.figures.asked`), as JSON; may be empty."""
    key: NotRequired[list[dict[str, str]]]
    """The entries of its legend, which the page has as HTML; may be empty."""
    above: NotRequired[float]
    """The height of that legend in the SVG, in points."""


_PLACE = re.compile(r'<svg data-figure="([^"]+)" aria-label="([^"]*)"></svg>')


def place(figure: str, *, label: str) -> str:
    """Where a figure, by its key, is to stand, with what it shows for those who do not see it; `fill` puts it there."""
    return f'<svg data-figure="{figure}" aria-label="{escape(label)}"></svg>'


def fill(part: str, drawn: Mapping[str, Drawn]) -> str:
    """A part of a page with its figures, each followed by what can be asked of it."""
    numbers = {key: number for number, key in enumerate(match[1] for match in _PLACE.finditer(part))}

    def put(match: re.Match[str]) -> str:
        figure = drawn[match[1]]
        box, content = _inside(figure["svg"], f"f{numbers[match[1]]}-")
        left, top, width, height = map(float, box.split())
        above = figure.get("above", 0.0)
        box = f"{left:g} {top + above:g} {width:g} {height - above:g}"
        return _key(figure.get("key", [])) + _element(box, match[2], content) + data(figure["asked"])

    return _PLACE.sub(put, part)


def _key(entries: list[dict[str, str]]) -> str:
    """A legend that is as wide as the window. The page's script puts boxes before the networks, which come first."""
    shown = [
        f'<span><svg viewBox="0 0 36 14" aria-hidden="true">{_colored(entry["sample"])}</svg>'
        f"{escape(entry['name'])}</span>"
        for entry in entries
    ]
    return f'<div class="networks">{"".join(shown)}</div>' if shown else ""


def data(written: str) -> str:
    """JSON as an element of a page; nothing in it ends the element."""
    return f'<script type="application/json">{written.replace("<", chr(92) + "u003c")}</script>' if written else ""


_DRAWING = {"svg", "g", "defs", "clipPath", "path", "rect", "use", "image", "text", "tspan", "style"}
_TARGET = re.compile(r"#[\w-]+|data:image/png;base64,[\w+/=\s]+")
_SHEET = re.compile(r"\s*((\*|\.[a-z]+)\{[^{}<@\\]*\}\s*)*")


def harmless(svg: str) -> str:
    """A figure of somebody else's folder, which a page takes in as it is.

    Raises:
        ValueError: It holds what no figure of ours does, such as a script or a link.
    """
    try:
        root = ET.fromstring(svg)
    except ET.ParseError as error:
        raise ValueError(f"a figure is no SVG: {error}") from error
    for element in root.iter():
        tag = element.tag.rpartition("}")[2]
        targets = [value for key, value in element.attrib.items() if key.rpartition("}")[2] == "href"]
        alive = any(key.lower().startswith("on") for key in element.attrib) or not all(map(_TARGET.fullmatch, targets))
        if tag not in _DRAWING or alive or (tag == "style" and not _SHEET.fullmatch(element.text or "")):
            raise ValueError(f"a figure holds more than a drawing: {tag}")
    return ET.tostring(root, encoding="unicode").replace(" />", "/>")


def inline(svg: str, *, key: str, label: str) -> str:
    """The `<svg>` element of `repro.figures.to_svg` alone, scalable, described, with colours that follow the page.

    The key begins the names inside, so that the figures of one page do not share any; the label says what the figure
    shows, for those who do not see it.
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
    return box, _colored(svg).strip()


def _colored(svg: str) -> str:
    return re.sub(r"#[0-9a-f]{6}\b", lambda match: color(match[0]), svg)


def color(shade: str) -> str:
    """A figure's colour as the page has it, light and dark."""
    return f"var(--{_name(shade)})" if shade in DARK else shade


def _name(color: str) -> str:
    return f"c{color[1:]}"


def colors(*, dark: bool) -> str:
    """CSS that sets the colours which `inline` refers to."""
    return " ".join(f"--{_name(light)}: {shade if dark else light};" for light, shade in DARK.items())
