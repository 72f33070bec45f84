"""A report's folder: its files replace what was there, each in one step."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from repro.errors import refusing


def put(contents: Mapping[str, bytes], out: Path) -> Path:
    """Write a report's files, the page last, each in one step; returns the page's path."""
    with refusing(f"cannot write the report to '{out}'", "name another folder with --out"):
        for name, content in contents.items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, content)
    return out / "index.html"


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
