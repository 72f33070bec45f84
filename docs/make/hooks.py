"""What mkdocs does beside turning Markdown into pages (`mkdocs.yml` names this file)."""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from made import MADE  # noqa: E402
from notebook import as_markdown  # noqa: E402

ROOT = Path(__file__).parents[2]
FROM_ROOT = {
    "README.md": "index.md",
    "FINDINGS.md": "findings.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
"""Documents that stand beside the package, and the pages that they are."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave out of the navigation what is not there."""
    there = {*FROM_ROOT.values(), *(f"notebooks/{path.stem}.md" for path in _notebooks())}
    config.nav = _existing(config.nav, there)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents from beside the package, and the notebooks."""
    for document, page in FROM_ROOT.items():
        files.append(File.generated(config, page, content=_from_root((ROOT / document).read_text(encoding="utf-8"))))
    for path in _notebooks():
        if raw := files.get_file_from_path(f"notebooks/{path.name}"):
            files.remove(raw)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=as_markdown(path)))
    return files


def on_page_markdown(markdown: str, **_more: Any) -> str:
    """Fill in what is made from the code; links to files beside docs/ lead to their pages, or are text without one."""
    markdown = re.sub(r"<!-- made: ([\w-]+) -->", lambda match: MADE[match[1]](), markdown)
    for document, target in FROM_ROOT.items():
        markdown = re.sub(rf"\]\(\.\./{re.escape(document)}(#[^)]*)?\)", f"]({target})", markdown)
    markdown = re.sub(r"\[([^\]]+)\]\(\.\./[^)]*\)", r"\1", markdown)
    return re.sub(r"\]\((notebooks/[\w-]+)\.ipynb\)", r"](\1.md)", markdown)


def on_page_content(content: str, **_more: Any) -> str:
    r"""Formulas (``\(...\)`` and ``\[...\]``, as arithmatex marks them) as MathML, which browsers draw themselves.

    A bar within code in a table is written ``\|`` and shown without the backslash, as GitHub does.
    """
    content = re.sub(r"<code>[^<]*</code>", lambda code: code[0].replace(r"\|", "|"), content)

    def mathml(match: re.Match[str]) -> str:
        tex = html.unescape(match[3])
        return str(convert(tex, display="inline" if match[1] == "span" else "block"))

    return re.sub(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', mathml, content, flags=re.DOTALL)


def _notebooks() -> list[Path]:
    return sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def _existing(nav: Any, made: set[str]) -> Any:
    """The navigation without pages that do not exist."""
    if isinstance(nav, list):
        return [kept for entry in nav if (kept := _existing(entry, made))]
    if isinstance(nav, dict):
        return {title: kept for title, entry in nav.items() if (kept := _existing(entry, made))}
    return nav if nav in made or (ROOT / "docs" / nav).is_file() else None


def _from_root(text: str) -> str:
    """A document from beside the package, with links as from docs/."""
    return re.sub(r"\]\((?!http|#)(docs/)?", lambda match: "](" if match[1] else "](../", text)
