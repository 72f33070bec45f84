"""Which run directory is which cell's: told by the configurations, so the data need not be here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from repro.config import Config, determining, load, signature
from repro.errors import UserError, leave_out
from repro.records import RunDirectory
from repro.runs.validation import own_code
from repro.studies.study import StudyCell


@dataclass(frozen=True, kw_only=True)
class Stray:
    """A run in a study's folder that is no cell's: the study has been edited since, or it was made by other means."""

    run: RunDirectory
    difference: str
    """In what its configuration differs from the cell of the same name, or that there is none."""
    damaged: bool = False
    """Whether it cannot be read, so that it may be a cell's."""


def match(cells: Sequence[StudyCell], folder: Path) -> tuple[list[RunDirectory | None], list[Stray]]:
    """The run of every cell, None where there is none, and the runs that are no cell's.

    Those that cannot be read are among these, and are named in a line. Runs that ``--again`` has set aside (``NAME.1``)
    are passed over.
    """
    runs: dict[str, RunDirectory] = {}
    configs: dict[str, Config] = {}
    code = {signature(cell.config): own_code(cell.config) for cell in cells}
    strays: list[Stray] = []
    for path in sorted(folder.glob("*/config.yaml")):
        run = RunDirectory(path.parent)
        if re.search(r"\.\d+$", run.name):
            continue
        try:
            config = load(path)
        except UserError as error:
            strays.append(_damaged(run, str(error)))
            continue
        if wrong := run.damage:
            strays.append(_damaged(run, wrong))
            continue
        key = signature(config)
        if other := _another_result(run, config, code.get(key, {})):
            strays.append(Stray(run=run, difference=other))
            continue
        if key not in runs or run.ended:
            runs[key], configs[key] = run, config
    wanted = [signature(cell.config) for cell in cells]
    for key in runs.keys() - set(wanted):
        strays.append(Stray(run=runs[key], difference=_difference(configs[key], cells)))
    return [runs.get(key) for key in wanted], sorted(strays, key=lambda stray: stray.run.name)


def _damaged(run: RunDirectory, what: str) -> Stray:
    leave_out(what)
    return Stray(run=run, difference=what, damaged=True)


def _another_result(run: RunDirectory, config: Config, code: dict[str, str]) -> str | None:
    """Why a run of a cell's very settings is none of that cell's, if so."""
    state = run.state
    if (before := state.get("extended_from")) and config.training.milestones:
        epochs = ", ".join(map(str, before))
        return f"an older version extended it from {epochs} to {state.get('max_epochs')} epochs, with other milestones"
    recorded = state.get("code", {})
    changed = [key for key, digest in code.items() if recorded.get(key, digest) != digest]
    return f"the source of {' and '.join(changed)} has changed since" if changed else None


def _difference(config: Config, cells: Sequence[StudyCell]) -> str:
    for cell in cells:
        if (cell.label, cell.config.seed) == (config.name, config.seed):
            theirs, ours = determining(config), determining(cell.config)
            changed = [key for key in ours if ours[key] != theirs[key]]
            return "; ".join(f"{key} is {theirs[key]} there and {ours[key]} in the study" for key in changed)
    return f"the study has no cell {config.name} with seed {config.seed}"
