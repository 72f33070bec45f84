"""What is reported on: studies, which have a manifest, and runs without one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from repro.config import load, read_yaml, require_name, signature
from repro.errors import Damaged, UserError, first_line, leave_out
from repro.records import MANIFEST, RunDirectory, find_runs, find_studies
from repro.records.form import read_json
from repro.report.differences import told_apart
from repro.studies.description import SizedDescription
from repro.studies.manifest import description
from repro.studies.match import match
from repro.studies.spread import Summary, published
from repro.studies.study import Study, StudyCell
from repro.text import printable

_SPOKEN_OF = {"seed": int, "name": str, "model.network": str, "data.name": str}
GROUPS = ("model", "data", "training", "trainer", "measure", "log")


@dataclass(frozen=True, kw_only=True)
class ReportCell:
    """One run that a study asks for."""

    label: str
    seed: int
    name: str
    """Name of its folder."""
    run: RunDirectory | None
    """None while there is no run directory, or none that can be read."""
    damage: str = ""
    """Why it cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Section(SizedDescription):
    """One section of the report: a study, or the runs of one folder that belong to no study."""

    key: str
    """Name in links and file names; no two sections share one."""
    cells: Sequence[ReportCell]
    strays: Sequence[str] = ()
    """Runs in the study's folder that are none of its cells', and why."""
    damage: Sequence[str] = ()
    """What of it cannot be read, in words."""
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What differs between runs of no study, by label and heading."""

    @cached_property
    def published(self) -> Mapping[str, Mapping[str, Summary]]:
        """The paper's values by cell and quantity; `UserError` if one cannot be read."""
        return {
            label: {quantity: published(value, self.paper_runs) for quantity, value in values.items()}
            for label, values in self.paper_values.items()
        }

    @property
    def labels(self) -> list[str]:
        """The cells' labels in order, each once."""
        return list(dict.fromkeys(cell.label for cell in self.cells))


def sections(paths: Sequence[str | Path]) -> list[Section]:
    """A section for every study at or below the paths, then one for every folder of runs without a study.

    A run directory that is named itself is reported on its own even if it belongs to a study. Runs in a study's folder
    that its manifest does not name (such as those set aside by ``--again``) are left out. A manifest that cannot be
    read is named in a line, and its runs are those of a folder without a study.
    """
    runs = find_runs(paths)
    if not runs:
        raise UserError(f"no run in {', '.join(map(repr, map(str, paths)))}; `repro runs list` names the runs")
    made: list[Section] = []
    theirs: set[Path] = set()
    damage: dict[Path, list[str]] = {}
    for folder in find_studies(paths):
        try:
            made.append(_study(folder / MANIFEST))
            theirs.add(folder.resolve())
        except Damaged as error:
            leave_out(error)
            damage[folder.resolve()] = [str(error)]
    loose: dict[Path, list[RunDirectory]] = {}
    for run in runs:
        if run.path.resolve().parent not in theirs:
            loose.setdefault(run.path.resolve().parent, []).append(run)
    made += [replace(_plain(folder, members), damage=damage.get(folder, ())) for folder, members in loose.items()]
    return distinct(made)


def _study(manifest: Path) -> Section:
    try:
        content = read_json(manifest, {})
        for cell in content["cells"]:
            require_name(cell["run"], "a run")  # it may be a stranger's: no path that leads elsewhere
        about = description(content)
        kept, copies = _once(content["cells"], manifest.parent)
        cells = [_cell(cell["label"], cell["seed"], RunDirectory(manifest.parent / cell["run"])) for cell in kept]
        return of_study(about, cells, copies)
    except (OSError, UserError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(f"'{manifest}' is not a study's manifest ({first_line(error)}); run the study again") from error


def _once(cells: Sequence[Mapping[str, Any]], folder: Path) -> tuple[list[Mapping[str, Any]], list[str]]:
    """The cells without those whose runs are copies of an earlier one's, and what these are: a run counts once."""
    kept: dict[str, Mapping[str, Any]] = {}
    keys: dict[str, str] = {}
    copies = []
    for cell in cells:
        name = str(cell["run"])
        if name not in keys:
            keys[name] = name
            with suppress(UserError):  # not there, or of another version
                keys[name] = signature(load(folder / name / "config.yaml"))
        if (other := kept.setdefault(keys[name], cell)) is not cell:
            copies.append(f"{cell['run']}: the same run as {other['run']}, which counts once")
    return list(kept.values()), copies


def of_study(
    about: SizedDescription, cells: Sequence[ReportCell], strays: Sequence[str], damage: Sequence[str] = ()
) -> Section:
    """The section of a study by what it says of itself; `UserError` if one of its paper's values cannot be read."""
    settings = {entry.name: getattr(about, entry.name) for entry in fields(SizedDescription)}
    section = Section(**settings, key=_slug(about.name), cells=cells, strays=strays, damage=damage)
    _ = section.published  # refuses what cannot be read
    return section


def of_cells(
    study: Study, preset: str | None, cells: Sequence[StudyCell], folders: Sequence[Path], *, command: str
) -> Section:
    """The section of a study as its file has it now, whatever manifests say.

    Runs are looked for in the folders, in this order; without a preset it is the first. The command makes the runs.
    """
    return of_study(study.at(preset, command), *found(cells, folders))


Found = tuple[list[ReportCell], list[str], list[str]]
"""Cells with their runs, runs that are no cell's, and those that cannot be read."""


def found(cells: Sequence[StudyCell], folders: Sequence[Path]) -> Found:
    """What there is of a study's cells in folders, looked at in this order, and what else lies there."""
    runs: list[RunDirectory | None] = [None] * len(cells)
    strays: list[str] = []
    damage: list[str] = []
    for folder in folders:
        matched, others = match(cells, folder)
        runs = [mine or theirs for mine, theirs in zip(runs, matched, strict=True)]
        strays += [f"{printable(stray.run.name)}: {stray.difference}" for stray in others if not stray.damaged]
        damage += [stray.difference for stray in others if stray.damaged]
    names = [
        printable(run.name) if run else f"{cell.label}-seed{cell.seed}" for run, cell in zip(runs, cells, strict=True)
    ]
    shown = [
        ReportCell(label=cell.label, seed=cell.seed, name=name, run=run)
        for run, cell, name in zip(runs, cells, names, strict=True)
    ]
    return shown, strays, damage


def _cell(label: str, seed: int, run: RunDirectory) -> ReportCell:
    """A run that is reported on, whether there is one, and whether it can be read."""
    exists = run.config_path.is_file()
    wrong = run.damage if exists else None
    try:
        _ = exists and read_yaml(run.config_path)
    except UserError as error:
        wrong = str(error)
    damage = f"damaged: {wrong}" if wrong else ""
    return ReportCell(
        label=label, seed=seed, name=printable(run.name), run=run if exists and not damage else None, damage=damage
    )


def _plain(folder: Path, runs: Sequence[RunDirectory]) -> Section:
    number = f"{len(runs):,} run{'s' if len(runs) > 1 else ''}"
    configurations = [configuration(run) for run in runs]
    labels, settings = told_apart(configurations, [printable(run.name) for run in runs])
    name = printable(folder.name)  # any bytes may be a folder's name
    return Section(
        name=name,
        key=_slug(name),
        title=f"Runs in {name}",
        question=f"{number} outside of the studies, so there are no claims and no values of a paper.",
        cells=[
            _cell(label, each.get("seed", 0), run)
            for run, each, label in zip(runs, configurations, labels, strict=True)
        ],
        settings=settings,
    )


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "runs"


def distinct(sections: Sequence[Section]) -> list[Section]:
    """The sections with keys of their own each."""
    taken: set[str] = set()
    distinct = []
    for section in sections:
        key, number = section.key, 1
        while key in taken:
            number += 1
            key = f"{section.key}-{number}"
        taken.add(key)
        distinct.append(replace(section, key=key))
    return distinct


def configuration(run: RunDirectory) -> dict[str, Any]:
    """A run's configuration as written, nested, without what is of another kind than what a page speaks of.

    It is not checked beyond that, so that runs of other versions can be shown too.
    """
    written = {str(key): value for key, value in _written(run).items() if isinstance(value, dict) or key not in GROUPS}
    for key, kind in _SPOKEN_OF.items():
        group, _, name = key.rpartition(".")
        values = written.get(group, {}) if group else written
        if not isinstance(values.get(name), kind):
            values.pop(name, None)
    return written


def _written(run: RunDirectory) -> dict[str, Any]:
    try:
        return read_yaml(run.config_path)
    except UserError:  # said where it is started again
        return {}
