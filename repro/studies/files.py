"""Studies by name or file: read, checked, with every mistake in one line."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from repro.config import configurations, flatten, read_yaml, require_name, typed
from repro.errors import UserError, unknown
from repro.measurements import quantities
from repro.studies import claims
from repro.studies.spread import published
from repro.studies.study import Adjustment, Preset, Study, require_once

MOST_RUNS = 10_000


def names() -> list[str]:
    """The studies that come with the package."""
    return sorted(path.stem for path in (configurations() / "studies").glob("*.yaml"))


def _fill(kind: type, content: object, where: str) -> Any:
    if not isinstance(content, Mapping):
        raise UserError(f"{where} is {content!r}; allowed: keys and values")
    _require_keys(kind, content, where)
    fields = [entry.name for entry in dataclasses.fields(kind)]
    if "settings" in content and not isinstance(content["settings"], Mapping):
        raise UserError(f"{where}: settings is {content['settings']!r}; allowed: configuration keys and values")
    if isinstance(seeds := content.get("seeds"), list) and len(seeds) > MOST_RUNS:
        raise UserError(f"{where} has {len(seeds):,} seeds; allowed: {MOST_RUNS:,} runs at most")
    done: tuple[str, ...] = ("presets", "base", "grid", "adjust")
    if isinstance(seeds, list) and all(type(seed) is int for seed in seeds):  # the parser takes milliseconds for each
        done += ("seeds",)
    plain = {name: value for name, value in content.items() if name not in done}
    made = {**content, **typed(kind, plain, source=where)}
    if "adjust" in fields:
        made["adjust"] = [
            _fill(Adjustment, adjustment, f"{where}, adjustment {number}")
            for number, adjustment in enumerate(_list(content.get("adjust") or (), f"{where}: adjust"), 1)
        ]
    return kind(**made)


def _require_keys(kind: type, content: Mapping[str, Any], where: str) -> None:
    """Refuse a key that there is not, and name all that are missing."""
    fields = {entry.name: entry for entry in dataclasses.fields(kind)}
    for key in content:
        if key not in fields:
            raise unknown("key", key, fields, extra=f"in {where}")
    required = [
        name
        for name, entry in fields.items()
        if entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
    ]
    if lacks := [f"'{name}'" for name in required if name not in content]:
        raise UserError(f"{where} lacks the key{'s' if len(lacks) > 1 else ''} {', '.join(lacks)}")


def _list(value: object, what: str) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise UserError(f"{what} is {value!r}; allowed: a list")
    return value


def load(name: str, *, above: Sequence[Path] = ()) -> Study:
    """A study by name, or by the path of a file that ends in .yaml; `above` are files of studies that take its runs."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else configurations() / "studies" / f"{name}.yaml"
    if not path.is_file():
        raise unknown("study", name, names(), extra="or the path of a .yaml file")
    if path in above:
        raise UserError(f"study '{path.name}' takes its own runs (runs_of), by {' and '.join(map(str, above))}")
    content = read_yaml(path)
    content.setdefault("name", path.stem)
    where = f"study '{path.name}'"
    if (shared := content.get("runs_of")) is not None:
        return _of_other_runs(content, load(str(shared), above=[*above, path]), where)
    if not content.get("paper"):
        content.setdefault("presets", {"default": {}})
    _require_keys(Study, content, where)
    if isinstance(base := content["base"], str) and (beside := path.parent / base).is_file():
        content["base"] = read_yaml(beside)
    presets = content["presets"] or {}
    if not isinstance(presets, Mapping) or not presets:
        raise UserError(f"{where} lacks presets; it needs at least one")
    values = content.get("paper_values")
    if odd := [key for key in (*presets, *(values if isinstance(values, dict) else ())) if not isinstance(key, str)]:
        raise UserError(f"{where}: {odd[0]!r} is not text; put the names of presets and cells in quotes")
    content["presets"] = {
        preset: _fill(Preset, {} if settings is None else settings, f"{where}, preset {preset}")
        for preset, settings in presets.items()
    }
    _check_forms(content, where)
    study: Study = _fill(Study, content, where)
    if not study.grid or not study.labels():
        raise UserError(f"{where} has a grid without runs; every key of the grid needs at least one value")
    _check(study, where)
    return study


def _check_forms(content: Mapping[str, Any], where: str) -> None:
    """Refuse a base or a grid of another form, and one of more runs than anybody means."""
    if not isinstance(base := content.get("base", {}), Mapping | str):
        raise UserError(f"{where}: base is {base!r}; allowed: keys and values, or the name of a file in configs/")
    grid = content.get("grid", {})
    if not isinstance(grid, Mapping) or not all(isinstance(choices, list | dict) for choices in grid.values()):
        raise UserError(f"{where}: grid is {grid}; allowed: keys with lists of values, or names with variants")
    for axis, choices in grid.items():
        for variant, settings in choices.items() if isinstance(choices, dict) else ():
            if not isinstance(settings, Mapping):
                raise UserError(f"{where}, {axis} {variant} is {settings!r}; allowed: configuration keys and values")
    seeds = max(len(preset.seeds) for preset in content["presets"].values())
    if (runs := seeds * math.prod(map(len, grid.values()))) > MOST_RUNS:
        raise UserError(f"{where} has {runs:,} runs; allowed: {MOST_RUNS:,} at most")


def _of_other_runs(content: Mapping[str, Any], theirs: Study, where: str) -> Study:
    """A study that looks in its own way at another's runs: a figure of the networks of a table."""
    for key in ("base", "grid", "presets", "adjust", "seed_key"):
        if key in content:
            raise UserError(f"{where} takes the runs of {theirs.name}, and with them its {key}; leave that out")
    own = {entry.name: getattr(theirs, entry.name) for entry in dataclasses.fields(Study)}
    own |= {"paper_values": {}, "paper_within": None, "claims": [], "preset_claims": {}}
    own |= {"figures": None, "paper_shows": {}, "adjust": []}
    study: Study = _fill(Study, {**own, **content}, where)
    study = dataclasses.replace(study, adjust=theirs.adjust, runs_of=theirs.runs_of or theirs.name)
    _check(study, where)
    return study


def _check(study: Study, where: str) -> None:
    """Refuse a study that speaks of cells that it does not have, or whose names are none of folders."""
    labels = study.labels()
    require_name(study.name, f"{where}: name")
    require_once(labels, f"{where}: the grid's")
    for preset in study.presets:
        require_name(preset, f"{where}: preset")
        require_name(study.folder(preset), f"{where}: name and preset")
    for label in labels:
        require_name(label, f"{where}: the grid's label")
    for adjustment in (*study.adjust, *(own for preset in study.presets.values() for own in preset.adjust)):
        if not any(fnmatchcase(label, adjustment.cells) for label in labels):
            raise unknown("cell", adjustment.cells, labels, extra=f"in an adjustment of {where}")
    for name, size in study.presets.items():
        if varied := [key for key in flatten(size.settings, source=where) if key in study.grid]:
            raise UserError(f"{where}, preset {name} sets {varied[0]}, which the grid varies; adjust cells instead")
    reduced = [name for name, size in study.presets.items() if size.reductions]
    if reduced and "full" not in study.presets and study.full_size is None:
        raise UserError(
            f"{where}, preset {reduced[0]} lists reductions, but not what they are compared with; add a preset "
            "full, or full_size: STUDY"
        )
    for name in study.preset_claims:
        study.preset(name)
    for claim in (*study.claims, *itertools.chain.from_iterable(study.preset_claims.values())):
        claims.check(claim, labels, of_paper=bool(study.paper))
    for label, values in study.paper_values.items():
        if label not in labels:
            raise unknown("cell", label, labels, extra=f"in paper_values of {where}")
        for quantity, value in values.items():
            quantities.check(quantity, f"in paper_values of {where}")
            published(value, study.paper_runs)
