"""A figure's SVG made fit to stand inside a page, in the page's colours."""

from __future__ import annotations

import re
from html import escape

from repro.figures.style import DARK


def inline(svg: str, *, key: str, label: str) -> str:
    """The `<svg>` element alone, scalable, described, and with colours that follow the page.

    Args:
        svg: What `repro.figures.to_svg` returns.
        key: Prefix of the ids inside, so that the figures of one page do not share any.
        label: What the figure shows, for those who do not see it.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    width = re.search(r'viewBox="0 0 ([\d.]+)', svg)
    assert width is not None
    svg = re.sub(
        r'^<svg [^>]*?(viewBox="[^"]*")[^>]*>',
        lambda match: (
            f'<svg {match[1]} xmlns:xlink="http://www.w3.org/1999/xlink" role="img" '
            f'aria-label="{escape(label)}" style="--natural:{width[1]}pt">'
        ),
        svg,
    )
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda match: f' id="{key}-{match[1]}"' if match[1] in used else "", svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{key}-", svg)
    return re.sub(
        r"#[0-9a-f]{6}\b", lambda match: f"var(--{_name(match[0])})" if match[0] in DARK else match[0], svg
    ).strip()


def _name(color: str) -> str:
    return f"c{color[1:]}"


def colors(*, dark: bool) -> str:
    """CSS that sets the colours which `inline` refers to."""
    return " ".join(f"--{_name(light)}: {shade if dark else light};" for light, shade in DARK.items())
