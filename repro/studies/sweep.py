"""A study as a sweep of W&B's: what an agent is told to start, with the same runs as `repro study run`."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from repro.config import dump_yaml, to_flat
from repro.errors import UserError
from repro.records import put
from repro.studies.study import StudyCell
from repro.text import canonical, shell

Flat = dict[str, Any]
"""Configuration keys and their values."""


def write(cells: Sequence[StudyCell], folder: Path, *, name: str) -> Path:
    """Write the files of a sweep, whose runs are a study's cells, and return the sweep's own.

    ``sweep.yaml`` for W&B, ``base.yaml`` with what all share, and where the cells are no grid of configuration keys, a
    file for each.
    """
    if not cells:
        raise UserError(f"{name} has no runs at this size; name another --preset")
    shared, own = _parted([to_flat(cell.config) for cell in cells])
    grid = as_grid([{key: value for key, value in cell.items() if key != "name"} for cell in own])
    files: dict[str, Flat] = {"base.yaml": shared}
    if grid is None:
        names = [f"cells/{cell.label}-seed{cell.seed}.yaml" for cell in cells]
        files |= zip(names, own, strict=True)
        grid = {"config": [str(folder / file) for file in names]}
    files["sweep.yaml"] = _sweep(grid, folder / "base.yaml", name)
    put({file: dump_yaml(content).encode() for file, content in files.items()}, folder)
    return folder / "sweep.yaml"


def as_grid(cells: Sequence[Flat]) -> dict[str, list[Any]] | None:
    """The values of each key if the cells are all their combinations, each once; else None."""
    values = {key: list({canonical(cell[key]): cell[key] for cell in cells}.values()) for key in cells[0]}
    if math.prod(map(len, values.values())) != len(cells):
        return None
    combinations = {tuple(map(canonical, chosen)) for chosen in itertools.product(*values.values())}
    return values if combinations == {tuple(canonical(cell[key]) for key in values) for cell in cells} else None


def _parted(cells: Sequence[Flat]) -> tuple[Flat, list[Flat]]:
    """What all cells share, and what each has of its own."""
    different = {key for key in cells[0] if len({canonical(cell[key]) for cell in cells}) > 1}
    shared = {key: value for key, value in cells[0].items() if key not in different and key != "name"}
    return shared, [{key: cell[key] for key in cell if key in different or key == "name"} for cell in cells]


def _sweep(grid: Mapping[str, Sequence[Any]], base: Path, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "description": shell("repro", "fit", "--config", base),
        "program": "repro",
        "method": "grid",
        "metric": {"name": "test/accuracy", "goal": "maximize"},
        "parameters": {key: {"values": [_flag(value) for value in values]} for key, values in grid.items()},
        "command": ["repro", "fit", "--config", str(base), "${args}"],
    }


def _flag(value: Any) -> Any:
    """A value that an agent, which writes ``--key=value`` in Python's spelling, makes the right flag of."""
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else json.dumps(value)
