"""A folder of what a command has made: its files replace what was there, all or none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from repro.errors import refusing
from repro.records import replace_files


def put(contents: Mapping[str, bytes], out: Path) -> Path:
    """Write files by their path in a folder, a report's page last; returns the path that a page has there."""
    with refusing(f"cannot write to '{out}'", "name another folder with --out"):
        replace_files({out / name: content for name, content in contents.items()})
    return out / "index.html"
