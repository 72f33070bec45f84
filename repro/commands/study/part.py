"""What every action of `repro study` is asked for: a study, at a size, with a folder of runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from repro.cluster.preflight import Check, preflight
from repro.commands.options import Request, argument, option, trust_option
from repro.records import RunDirectory
from repro.studies.files import load
from repro.studies.match import match
from repro.studies.plan import RESULTS, Progress, progress, rates
from repro.studies.study import Study, StudyCell


class Part(Request):
    """A request about some cells of a study."""

    name: str = argument("a study's name, or the path of a .yaml file")
    preset: str | None = option("the study's size (default: its first)", default=None, metavar="SIZE")
    seed: tuple[int, ...] | None = option("seeds (default: the preset's)", default=None)
    runs: str = option("folder of all run directories", default="runs", metavar="DIR")
    trust: tuple[str, ...] = trust_option()

    @cached_property
    def study(self) -> Study:
        """The study itself."""
        return load(self.name)

    @cached_property
    def cells(self) -> list[StudyCell]:
        """The study's cells at this size, with these seeds."""
        return self.study.cells(self.preset, seeds=self.seed, runs=self.runs, settings=self.settings)

    @property
    def settings(self) -> dict[str, Any]:
        """Configuration keys that every run takes in place of its own."""
        return {}

    @property
    def folder(self) -> Path:
        """The folder of the study's runs."""
        return Path(self.runs) / self.study.folder(self.preset)

    @property
    def size(self) -> list[str]:
        """Preset and seeds as they are typed."""
        preset = ["--preset", self.preset] if self.preset else []
        return [*preset, *(["--seed", *map(str, self.seed)] if self.seed else [])]

    @property
    def typed(self) -> list[str]:
        """The same with the folder of the runs, if that is another than usual."""
        return [*self.size, *(["--runs", self.runs] if self.runs != "runs" else [])]

    def progress(self, runs: Sequence[RunDirectory | None] | None = None) -> list[Progress]:
        """How far the runs are (`runs`: as `match` found them), by step times here and in the kept records."""
        runs = match(self.cells, self.folder)[0] if runs is None else runs
        return progress(self.cells, runs, rates([RESULTS, Path(self.runs)]))

    def preflight(self, limit: float | None) -> Iterator[Check]:
        """Look at what the runs need, with so many seconds for a life of the longest, as far as that is known."""
        seconds = [state.remaining for state in self.progress() if state.remaining is not None]
        longest = max(seconds) if seconds and math.isfinite(max(seconds)) else None
        return preflight([cell.config for cell in self.cells], limit=limit, longest=longest)
