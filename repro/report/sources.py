"""What is reported on: studies, which have a manifest, and runs without one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repro.config import read_yaml
from repro.errors import UserError
from repro.records import RunDirectory, find_runs

MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run that a study asks for."""

    label: str
    seed: int
    name: str
    """Name of its folder."""
    run: RunDirectory | None
    """None while there is no run directory."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of the report: a study, or the runs of one folder that belong to no study."""

    key: str
    """Name in links and file names; no two sections share one."""
    title: str
    question: str
    cells: Sequence[Cell]
    paper: str = ""
    artefact: str = ""
    preset: str = ""
    reduced: bool = False
    reductions: Sequence[str] = ()
    expected: str = ""
    command: str = ""
    paper_values: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    claims: Sequence[str] = ()

    @property
    def labels(self) -> list[str]:
        """The cells' labels in order, each once."""
        return list(dict.fromkeys(cell.label for cell in self.cells))


def sections(paths: Sequence[Path]) -> list[Section]:
    """A section for every study at or below the paths, then one for every folder of runs without a study.

    A run directory that is named itself is reported on its own even if it belongs to a study. Runs in a study's folder
    that its manifest does not name (such as those set aside by ``--again``) are left out.

    Raises:
        UserError: If a path does not exist, no run is found, or a manifest cannot be read.
    """
    runs = find_runs(paths)
    if not runs:
        raise UserError(f"no run in {', '.join(map(repr, map(str, paths)))}; `repro runs list` names the runs")
    manifests: dict[Path, Path] = {}
    for path in paths:
        if not (path / "config.yaml").is_file():
            for manifest in sorted(path.rglob(MANIFEST)):
                manifests[manifest.parent.resolve()] = manifest
    found = [_study(manifest) for manifest in manifests.values()]
    loose: dict[Path, list[RunDirectory]] = {}
    for run in runs:
        if run.path.resolve().parent not in manifests:
            loose.setdefault(run.path.resolve().parent, []).append(run)
    found += [_plain(folder, members) for folder, members in loose.items()]
    return _distinct(found)


def _study(manifest: Path) -> Section:
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        cells = [
            Cell(label=cell["label"], seed=cell["seed"], name=cell["run"], run=_run(manifest.parent / cell["run"]))
            for cell in content["cells"]
        ]
        return Section(
            key=_slug(content["study"]),
            title=content["title"],
            question=content["question"],
            cells=cells,
            paper=content["paper"],
            artefact=content["artefact"],
            preset=content["preset"],
            reduced=content["reduced"],
            reductions=content["reductions"],
            expected=content["expected"],
            command=content["command"],
            paper_values={
                label: {quantity: float(value) for quantity, value in values.items()}
                for label, values in content["paper_values"].items()
            },
            claims=content["claims"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"'{manifest}' is not a study's manifest ({error!r}); run the study again") from error


def _run(path: Path) -> RunDirectory | None:
    run = RunDirectory(path)
    return run if run.config_path.is_file() else None


def _plain(folder: Path, runs: Sequence[RunDirectory]) -> Section:
    number = f"{len(runs)} run{'s' if len(runs) > 1 else ''}"
    return Section(
        key=_slug(folder.name),
        title=f"Runs in {folder.name}",
        question=f"{number} outside of any study, so without the values of a paper and without claims.",
        cells=[
            Cell(label=label, seed=configuration(run).get("seed", 0), name=run.name, run=run)
            for run, label in zip(runs, _labels(runs), strict=True)
        ],
    )


def _labels(runs: Sequence[RunDirectory]) -> list[str]:
    """The networks' names if they tell the runs apart, else the runs'."""
    networks = [configuration(run).get("model", {}).get("network", run.name) for run in runs]
    return networks if len(runs) > 1 and len(set(networks)) == len(runs) else [run.name for run in runs]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "runs"


def _distinct(found: Sequence[Section]) -> list[Section]:
    taken: set[str] = set()
    distinct = []
    for section in found:
        key, number = section.key, 1
        while key in taken:
            number += 1
            key = f"{section.key}-{number}"
        taken.add(key)
        distinct.append(Section(**{**vars(section), "key": key}))
    return distinct


def configuration(run: RunDirectory) -> dict[str, Any]:
    """A run's configuration as written, nested; not checked, so that runs of other versions can be shown too."""
    return read_yaml(run.config_path)
