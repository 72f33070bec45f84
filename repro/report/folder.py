"""A report's folder: its files replace what was there, each in one step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from repro.errors import refusing
from repro.records.files import replace_bytes


def put(contents: Mapping[str, bytes], out: Path) -> Path:
    """Write a report's files, the page last, each in one step; returns the page's path."""
    with refusing(f"cannot write the report to '{out}'", "name another folder with --out"):
        for name, content in contents.items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_bytes(path, content)
    return out / "index.html"
