"""A page as a document that opens from disk, alone: style and script are in it."""

from __future__ import annotations

from html import escape
from importlib import resources

from repro.report.pages import svg


def document(title: str, body: str, *, nav: str = "") -> str:
    """The document around a page's content: the window's title, links that stand above, and the HTML."""
    css = _asset("page.css").replace("{LIGHT}", svg.colors(dark=False)).replace("{DARK}", svg.colors(dark=True))
    above = f'<nav aria-label="Artefacts">{nav}</nav>\n' if nav else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{css}
</style>
</head>
<body>
{above}<main>
{body}
</main>
<script>
{_asset("page.js")}
</script>
</body>
</html>
"""


def _asset(name: str) -> str:
    return resources.files("repro.report.pages").joinpath(name).read_text(encoding="utf-8").strip()
