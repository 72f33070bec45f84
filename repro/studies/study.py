"""A study file: one artefact of a paper, as the runs that reproduce it.

The grid's axes span the cells: an axis is a configuration key with its values, or a name with variants, each a set of
configuration keys. A cell's label joins its values or variants by hyphens. `Adjustment` changes the cells whose labels
match a pattern: their settings, their seeds, or whether there are any. Settings are applied in the order base, axes,
the study's adjustments, the preset's settings, its adjustments.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from repro.config import Config, determining, flatten, from_mapping, read_yaml, require_name, typed
from repro.errors import UserError, unknown
from repro.runs.start import ResolvedRun, resolve
from repro.runs.validation import full_batch
from repro.studies import claims, quantities
from repro.studies.description import Description, SizedDescription

MOST_RUNS = 10_000


@dataclass(frozen=True, kw_only=True)
class Adjustment:
    """What is different for some cells."""

    cells: str
    """Their labels; * stands for anything."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Configuration keys that are different."""
    seeds: Sequence[int] | None = None
    """Their seeds, if not the preset's; an empty list leaves the cells out."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One size at which a study can be run."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """Configuration keys that this size changes."""
    seeds: Sequence[int] = (0,)
    """Seeds; one run of every cell for each."""
    adjust: Sequence[Adjustment] = ()
    """What is different for some cells at this size; the study's own adjustments come first."""
    reductions: Sequence[str] = ()
    """What is smaller than our full size, in words; none means full size."""
    cost: str = ""
    """Measured or estimated cost, with the machine."""


@dataclass(frozen=True, kw_only=True)
class StudyCell:
    """One run of a study."""

    label: str
    seed: int
    config: Config

    @cached_property
    def resolved(self) -> ResolvedRun:
        """The run, checked against its data; `UserError` as `repro.runs.start.resolve`."""
        return resolve(self.config)


@dataclass(frozen=True, kw_only=True)
class Study(Description):
    """One artefact of a paper, or a question of one's own: a grid of runs, the paper's values, and claims."""

    base: Mapping[str, Any] | str
    """Configuration of every cell: keys and values, or a file below the folder of configurations."""
    grid: Mapping[str, Sequence[Any] | Mapping[str, Mapping[str, Any]]]
    """Axes: a configuration key with the values that it takes, or a name with variants and what each sets."""
    presets: Mapping[str, Preset]
    """Sizes; the first is the default."""
    preset_claims: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Further ones by the preset at which alone they are claimed."""
    adjust: Sequence[Adjustment] = ()
    """What is different for some cells."""
    seed_key: str = "seed"
    """The configuration key that the seeds are values of."""
    full_size: str | None = None
    """The study whose preset full the reductions are against, where this one has no such preset."""
    runs_of: str | None = None
    """The study whose runs these are; its own file then says only what is different."""

    @property
    def default_preset(self) -> str:
        """The preset that runs unless another is named."""
        return next(iter(self.presets))

    def preset(self, name: str | None) -> Preset:
        """A preset by name; `UserError` names those that there are."""
        name = name or self.default_preset
        if name not in self.presets:
            raise unknown(f"preset of study {self.name}", name, self.presets)
        return self.presets[name]

    def at(self, preset: str | None, command: str) -> SizedDescription:
        """What the study says of itself at a preset.

        Args:
            preset: Its name; None for the first.
            command: What makes it.
        """
        name, size = preset or self.default_preset, self.preset(preset)
        known = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(Description)}
        known["claims"] = [*self.claims, *self.preset_claims.get(name, ())]
        return SizedDescription(**known, preset=name, reductions=list(size.reductions), command=command)

    def folder(self, preset: str | None) -> str:
        """Name of the folder of this study's runs at a preset."""
        name = self.runs_of or self.name
        return name if preset in (None, self.default_preset) else f"{name}-{preset}"

    def labels(self) -> list[str]:
        """The cells' labels: the grid's values joined by hyphens."""
        return ["-".join(map(str, values)) for values in itertools.product(*self.grid.values())]

    def cells(
        self,
        preset: str | None = None,
        *,
        seeds: Sequence[int] | None = None,
        runs: str = "runs",
        settings: Mapping[str, Any] | None = None,
    ) -> list[StudyCell]:
        """Every run of the study at a preset, in the order in which they are run; `settings` hold for all of them."""
        chosen = self.preset(preset)
        base = read_yaml(configurations() / self.base) if isinstance(self.base, str) else self.base
        source = f"study {self.name}"
        shared, of_preset = flatten(base, source=source), flatten(chosen.settings, source=source)
        cells = []
        for label, values in zip(self.labels(), itertools.product(*self.grid.values()), strict=True):
            combined, own_seeds = dict(shared), chosen.seeds
            for (axis, choices), value in zip(self.grid.items(), values, strict=True):
                variant = choices[value] if isinstance(choices, Mapping) else {axis: value}
                combined |= flatten(variant, source=f"{source}, {axis} {value}")
            for each in (*self.adjust, Adjustment(cells="*", settings=of_preset), *chosen.adjust):
                if fnmatchcase(label, each.cells):
                    combined |= flatten(each.settings, source=f"{source}, cells {each.cells}")
                    own_seeds = own_seeds if each.seeds is None else each.seeds
            chosen_seeds = (seeds or own_seeds) if own_seeds else ()
            _require_once(chosen_seeds, f"{source}, cells {label}: seed")
            for seed in chosen_seeds:
                config = full_batch(from_mapping({**combined, **(settings or {}), self.seed_key: seed}, source=source))
                config = dataclasses.replace(config, study=self.folder(preset), name=label, runs=runs)
                cells.append(StudyCell(label=label, seed=seed, config=config))
        _require_different(cells, source)
        return cells


def _require_once(values: Sequence[object], what: str) -> None:
    """Refuse a value that is given twice: one run would count as two."""
    if twice := [value for value, count in Counter(values).items() if count > 1]:
        raise UserError(f"{what} {', '.join(map(str, twice))} is given more than once; it is one run: give it once")


def _require_different(cells: Sequence[StudyCell], source: str) -> None:
    """Refuse two cells that are one run: it would be compared with itself, or count as two.

    Raises:
        UserError: Names both.
    """
    known: dict[str, StudyCell] = {}
    for cell in cells:
        key = json.dumps(_acting(cell.config), sort_keys=True, default=str)
        if (other := known.setdefault(key, cell)) is not cell:
            names = [f"{each.label} seed {each.seed}" for each in (other, cell)]
            raise UserError(
                f"{source}: {names[0]} and {names[1]} have the same settings, and so are one run; leave one out"
            )


def _acting(config: Config) -> dict[str, object]:
    """What determines a run's result, without what nothing reads, and names of ours in one spelling."""
    found = determining(config)
    for key in ("data.name", "model.network"):
        if ":" not in (name := str(found[key])):
            found[key] = name.lower()
    if config.model.skip_neurons is None:
        found = {key: value for key, value in found.items() if key not in ("model.skip_seed", "model.skip_head")}
    return found


def configurations() -> Path:
    """The folder of configurations: `configs/` of the checkout, or the copy that an installed package carries."""
    package = Path(str(resources.files("repro")))
    checkout = package.parent / "configs"
    return checkout if checkout.is_dir() else package / "_configs"


def names() -> list[str]:
    """The studies that come with the package."""
    return sorted(path.stem for path in (configurations() / "studies").glob("*.yaml"))


def _fill(kind: type, content: object, where: str) -> Any:
    if not isinstance(content, Mapping):
        raise UserError(f"{where} is {content!r}; allowed: keys and values")
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
    if "settings" in content and not isinstance(content["settings"], Mapping):
        raise UserError(f"{where}: settings is {content['settings']!r}; allowed: configuration keys and values")
    if isinstance(seeds := content.get("seeds"), list) and len(seeds) > MOST_RUNS:  # to look at each takes a minute
        raise UserError(f"{where} has {len(seeds):,} seeds; allowed: {MOST_RUNS:,} runs at most")
    plain = {name: value for name, value in content.items() if name not in ("presets", "base", "grid", "adjust")}
    made = {**content, **typed(kind, plain, source=where)}
    if "adjust" in fields:
        made["adjust"] = [
            _fill(Adjustment, each, f"{where}, adjustment {number}")
            for number, each in enumerate(_list(content.get("adjust") or (), f"{where}: adjust"), 1)
        ]
    return kind(**made)


def _list(value: object, what: str) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise UserError(f"{what} is {value!r}; allowed: a list")
    return value


def load(name: str, *, above: Sequence[Path] = ()) -> Study:
    """A study by name, or by the path of a file that ends in .yaml.

    Args:
        name: Name or path.
        above: Files of studies that take this one's runs.

    Raises:
        UserError: For an unknown study, an unknown or missing key, a grid without runs, or a claim about a cell that
            the study does not have.
    """
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
    presets = content.get("presets") or {}
    if not isinstance(presets, Mapping) or not presets:
        raise UserError(f"{where} lacks presets; it needs at least one")
    values = content.get("paper_values")
    if odd := [key for key in (*presets, *(values if isinstance(values, dict) else ())) if not isinstance(key, str)]:
        raise UserError(f"{where}: {odd[0]!r} is no text; put the names of presets and cells in quotes")
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
    if not isinstance(grid, Mapping) or not all(isinstance(each, list | dict) for each in grid.values()):
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
    own |= {"paper_values": {}, "claims": [], "preset_claims": {}, "figures": None, "paper_shows": {}, "adjust": []}
    study: Study = _fill(Study, {**own, **content}, where)
    study = dataclasses.replace(study, adjust=theirs.adjust, runs_of=theirs.runs_of or theirs.name)
    _check(study, where)
    return study


def _check(study: Study, where: str) -> None:
    """Refuse a study that speaks of cells that it does not have, or whose names are none of folders."""
    labels = study.labels()
    require_name(study.name, f"{where}: name")
    _require_once(labels, f"{where}: the grid's")
    for preset in study.presets:
        require_name(study.folder(preset), f"{where}: name and preset")
    for label in labels:
        require_name(label, f"{where}: the grid's label")
    for each in (*study.adjust, *(one for preset in study.presets.values() for one in preset.adjust)):
        if not any(fnmatchcase(label, each.cells) for label in labels):
            raise unknown("cell", each.cells, labels, extra=f"in an adjustment of {where}")
    for name, size in study.presets.items():
        if varied := [key for key in flatten(size.settings, source=where) if key in study.grid]:
            raise UserError(f"{where}, preset {name} sets {varied[0]}, which the grid varies; adjust cells instead")
    reduced = [name for name, size in study.presets.items() if size.reductions]
    if reduced and "full" not in study.presets and study.full_size is None:
        raise UserError(
            f"{where}, preset {reduced[0]} lists reductions and not against what; add a preset full, or full_size: "
            "STUDY"
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
            claims.published(value, study.paper_runs)
