"""What a part of a report is made from, as a hash: records by their content, and the code that reads and draws them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from repro.records import RunDirectory
from repro.records.spectrum import FILE as SPECTRA
from repro.records.surface import PLAN, SURFACE
from repro.report.sources import Section

_TOLD = ("config.yaml", "environment.json", "state.json")
_LINES = ("metrics.jsonl", "readings.jsonl", SPECTRA)
_DRAWN = (*_LINES, *(f"{name}.gz" for name in _LINES), f"{SURFACE}/{PLAN}")
_MOST_BYTES = 2**27
"""Of a larger file its beginning, size and time stand for the content."""
_PACKAGES = ("matplotlib", "numpy", "pandas")


@dataclass(frozen=True)
class Print:
    """The content of a run's records."""

    drawn: str
    """Hash of the records that figures are drawn from."""
    whole: str
    """Hash of all records."""


@dataclass
class Prints:
    """The runs of one build, each read once."""

    _prints: dict[Path, Print] = field(default_factory=dict)

    def of(self, run: RunDirectory) -> Print:
        """The hashes of a run's records."""
        if run.path not in self._prints:
            drawn = [run.path / name for name in _DRAWN] + sorted((run.path / SURFACE).glob("values-*.jsonl"))
            of_figures = _of_files(drawn)
            rest = _of_files([run.path / name for name in _TOLD])
            self._prints[run.path] = Print(of_figures, of(of_figures, rest))
        return self._prints[run.path]

    def of_section(self, section: Section, *context: Any) -> str:
        """A hash of a section, its runs and the code; of each run's status too, as a lock is in no record."""
        cells = [
            (cell.label, cell.seed, cell.name, cell.run and (self.of(cell.run).whole, cell.run.status), cell.damage)
            for cell in section.cells
        ]
        return of(code(), {**vars(section), "cells": cells}, *context)


def of(*things: Any) -> str:
    """A hash of things that Python writes the same whenever they are equal."""
    return hashlib.blake2b(repr(things).encode(), digest_size=16).hexdigest()


def of_figure(name: str, runs: Sequence[tuple[str, int | None, str]]) -> str:
    """A hash of what a figure is drawn from, and of the code that draws it.

    Of each run its label, number of classes and `Print.drawn` count, in order.
    """
    return of(code("errors.py", "text.py", "figures", "measurements", "records"), name, list(runs))


@cache
def code(*parts: str) -> str:
    """A hash of parts of this package's source (of all, if none is named) and of the versions that they draw with."""
    root = Path(str(resources.files("repro")))
    roots = [root / part for part in parts] or [root]
    paths = [path for path in roots for path in ([path] if path.is_file() else path.rglob("*"))]
    files = sorted(path for path in paths if path.suffix in (".py", ".css", ".js", ".yaml"))
    return of(_of_files(files), [(name, metadata.version(name)) for name in _PACKAGES])


def _of_files(paths: Sequence[Path]) -> str:
    """A hash of the names and contents of those files that exist."""
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        if path.is_file():
            size, most = path.stat().st_size, _MOST_BYTES
            try:
                with path.open("rb") as file:
                    content = file.read(most)
            except OSError as error:  # said where it is read
                content = repr(error).encode()
            digest.update(f"{path.name} {size} {path.stat().st_mtime_ns if size > most else ''}".encode() + content)
    return digest.hexdigest()
