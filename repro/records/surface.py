"""The record of a loss surface: a plan, and values appended point by point, by several processes if need be."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from repro.errors import Damaged, UserError, refusing, unlike
from repro.records import form
from repro.records.files import append_lines, dump_json, replace_text

PLAN = "surface.json"
DIRECTIONS = ("random", "filter", "pca")
SURFACE = "landscape"
"""Folder of a run's surface in its directory, where reports look for it."""
MOST_POINTS = 2_001
"""The most points on each axis: four million losses."""
_MOST_RADIUS = 1e30
_PLAN: form.Kinds = {"points": int, "radius": (int, float), "directions": str, "samples": int}
_VALUES: form.Kinds = {"point": int, "loss": form.NUMBER, "errors": form.NUMBER}


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Loss and errors on a square grid in a plane through a solution."""

    label: str
    at: Float[np.ndarray, " points"]
    """Coordinates of the columns (along the first direction) and of the rows (along the second)."""
    loss: Float[np.ndarray, "points points"]
    """Mean loss at row (second coordinate) and column (first); NaN where it has not been computed."""
    errors: Float[np.ndarray, "points points"]
    """Share of samples that are classified wrongly."""
    directions: str
    """How the two directions were made."""
    samples: int
    path: Float[np.ndarray, "steps 2"]
    """The training path in the plane's coordinates, where it was projected; otherwise 0 steps."""


def _are_points(path: object) -> bool:
    """Whether it is a list of pairs of finite numbers."""
    pairs = (
        path if isinstance(path, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in path) else [[""]]
    )
    return all(isinstance(value, int | float) and abs(value) < _MOST_RADIUS for pair in pairs for value in pair)


def grid(points: int, radius: float) -> Float[np.ndarray, " points"]:
    """Coordinates of rows and columns: evenly from −radius to radius."""
    return np.linspace(-radius, radius, points)


class SurfaceRecord:
    """A folder with ``surface.json``, the plan, and ``values-*.jsonl``: ``{"point", "loss", "errors"}`` a line.

    Points count from 0, row by row. Each part of a split computation appends to a file of its own, so that no two
    processes write to one. A torn last line is ignored, and what is not there is computed again.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def exists(self) -> bool:
        """Whether there is a plan."""
        return (self.path / PLAN).is_file()

    @property
    def plan(self) -> dict[str, Any]:
        """What is computed: points, radius, directions, samples, checkpoint ... and the path, if there is one."""
        content: dict[str, Any] = form.read_json(self.path / PLAN, {})
        form.require(content, _PLAN, f"'{self.path / PLAN}'", all_of_them=True)
        if not 2 <= content["points"] <= MOST_POINTS:
            raise Damaged(f"'{self.path / PLAN}' has {content['points']} points; allowed: 2 to {MOST_POINTS:,}")
        if not 0 < content["radius"] < _MOST_RADIUS:
            raise Damaged(f"'{self.path / PLAN}' has radius {content['radius']}; allowed: over 0, to {_MOST_RADIUS:g}")
        if content["directions"] not in DIRECTIONS:
            raise Damaged(f"'{self.path / PLAN}' has directions '{content['directions'][:40]}', which are none of ours")
        if not _are_points(content.get("path") or []):
            raise Damaged(f"'{self.path / PLAN}' has a path that is no list of pairs of numbers")
        return content

    def prepare(self, plan: Mapping[str, Any], *, again: bool = False) -> None:
        """Write the plan, or check that the one there is the same; another's is refused."""
        plan = json.loads(dump_json(plan))
        if self.exists and not again:
            own = {key: value for key, value in plan.items() if key != "path"}  # which follows, up to last bits
            if different := unlike({**dict.fromkeys(own), **self.plan}, own):
                raise UserError(
                    f"'{self.path}' holds another surface: {different}; name another folder with --out, or replace it "
                    "with --again"
                )
            return
        with refusing(f"cannot write '{self.path}'", "name another folder with --out"):
            self.path.mkdir(parents=True, exist_ok=True)
            if again:  # otherwise other parts may have begun
                for old in self.path.glob("values-*.jsonl"):
                    old.unlink()
            replace_text(self.path / PLAN, json.dumps(plan, indent=1) + "\n")

    def append(self, part: str, points: Iterable[int], values: Sequence[tuple[float, float]]) -> None:
        """Record the loss and the share of errors of some points."""
        lines = [
            {"point": point, "loss": loss, "errors": errors}
            for point, (loss, errors) in zip(points, values, strict=True)
        ]
        append_lines(self.path / f"values-{part}.jsonl", lines)

    def values(self) -> dict[int, tuple[float, float]]:
        """Loss and share of errors of every point computed so far."""
        return {
            int(line["point"]): (float(line["loss"]), float(line["errors"]))
            for file in sorted(self.path.glob("values-*.jsonl"))
            for line in form.lines(file, _VALUES)
        }

    def missing(self) -> list[int]:
        """Points that are not computed yet."""
        values = self.values()
        return [point for point in range(self.plan["points"] ** 2) if point not in values]

    def read(self, label: str) -> Surface:
        """The surface as far as it is computed."""
        plan = self.plan
        side = int(plan["points"])
        table = np.full((2, side * side), math.nan)
        for point, pair in self.values().items():
            if point < side * side:
                table[:, point] = pair
        table[np.abs(table) > np.finfo(np.float32).max] = math.inf  # no loss of ours: figures have no place for it
        loss, errors = table.reshape(2, side, side)
        return Surface(
            label=label,
            at=grid(side, float(plan["radius"])),
            loss=loss,
            errors=errors,
            directions=str(plan["directions"]),
            samples=int(plan["samples"]),
            path=np.array(plan.get("path") or np.empty((0, 2)), dtype=float).reshape(-1, 2),
        )
