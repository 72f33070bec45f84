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
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from repro.config import Config, configurations, determining, flatten, from_mapping, read_yaml
from repro.errors import UserError, unknown
from repro.networks.external import left_out
from repro.runs.start import ResolvedRun, resolve
from repro.runs.validation import full_batch
from repro.studies import claims
from repro.studies.description import Description, SizedDescription


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
    """Configuration of every cell: keys and values, or a file: beside the study's, else in the folder of ours."""
    grid: Mapping[str, Sequence[Any] | Mapping[str, Mapping[str, Any]]]
    """Axes: a configuration key with the values that it takes, or a name with variants and what each sets."""
    presets: Mapping[str, Preset]
    """Sizes; the first is the default. A study without a paper may leave them out, and has one, ``default``."""
    preset_claims: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Further ones by the preset at which alone they are claimed."""
    paper_within: float | None = None
    """At preset full every accuracy of the paper's is claimed as well, give or take so many points."""
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
        """What the study says of itself at a preset (None: the first), made by a command."""
        name, size = preset or self.default_preset, self.preset(preset)
        fields = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(Description)}
        fields["claims"] = self.claims_at(name)
        reductions = list(size.reductions)
        if other := self._other_data(name):
            fields["paper_values"] = {
                label: values for label, values in self.paper_values.items() if label not in other
            }
            pairs = dict.fromkeys(f"{ours} (the paper's {theirs})" for ours, theirs in other.values())
            reductions.append(f"other data, {' and '.join(pairs)}: values are not held against the paper's")
        return SizedDescription(**fields, preset=name, reductions=reductions, command=command)

    def _other_data(self, preset: str) -> dict[str, tuple[str, str]]:
        """The cells of the paper's values that are of another data set than at full size, with both data sets."""
        if "full" not in self.presets or not self.paper_values:
            return {}
        ours, full = (
            {label: str(settings.get("data.name")) for label, settings, _ in self._settings(size)}
            for size in (preset, "full")
        )
        return {
            label: (ours[label], full[label])
            for label in self.paper_values
            if ours[label].lower().removesuffix("5k") != full[label].lower()  # MNIST5k is of MNIST
        }

    def claims_at(self, preset: str) -> list[str]:
        """What is claimed at a preset."""
        stated = [*self.claims, *self.preset_claims.get(preset, ())]
        if preset != "full" or self.paper_within is None:
            return stated
        return stated + claims.near(self.paper_values, self.paper_within, self.artefact, stated)

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
        """Every run of the study at a preset, in the order in which they are run; `settings` hold for all of them.

        The first seed of every cell comes before the second of any, so that early on there is a picture of all.
        """
        source = f"study {self.name}"
        ranked: list[tuple[int, StudyCell]] = []
        for label, combined, own_seeds in self._settings(preset):
            chosen_seeds = (seeds or own_seeds) if own_seeds else ()
            require_once(chosen_seeds, f"{source}, cells {label}: seed")
            for rank, seed in enumerate(chosen_seeds):
                config = full_batch(from_mapping({**combined, **(settings or {}), self.seed_key: seed}, source=source))
                config = dataclasses.replace(config, study=self.folder(preset), name=label, runs=runs)
                ranked.append((rank, StudyCell(label=label, seed=seed, config=config)))
        cells = [cell for _, cell in sorted(ranked, key=lambda entry: entry[0])]
        _require_different(cells, source)
        return cells

    def _settings(self, preset: str | None) -> Iterator[tuple[str, dict[str, Any], Sequence[int]]]:
        """Every cell's label, settings by key, and seeds."""
        chosen, source = self.preset(preset), f"study {self.name}"
        base = read_yaml(configurations() / self.base) if isinstance(self.base, str) else self.base
        shared, of_preset = flatten(base, source=source), flatten(chosen.settings, source=source)
        for label, values in zip(self.labels(), itertools.product(*self.grid.values()), strict=True):
            combined, own_seeds = dict(shared), chosen.seeds
            for (axis, choices), value in zip(self.grid.items(), values, strict=True):
                variant = choices[value] if isinstance(choices, Mapping) else {axis: value}
                combined |= flatten(variant, source=f"{source}, {axis} {value}")
            for adjustment in (*self.adjust, Adjustment(cells="*", settings=of_preset), *chosen.adjust):
                if fnmatchcase(label, adjustment.cells):
                    combined |= flatten(adjustment.settings, source=f"{source}, cells {adjustment.cells}")
                    own_seeds = own_seeds if adjustment.seeds is None else adjustment.seeds
            if (name := str(combined.get("model.network", ""))) != shared.get("model.network"):
                for key in left_out(name, {key: value for key, value in shared.items() if combined[key] == value}):
                    del combined[key]
            yield label, combined, own_seeds


def require_once(values: Sequence[object], what: str) -> None:
    """Refuse a value that is given twice: one run would count as two."""
    if twice := [value for value, count in Counter(values).items() if count > 1]:
        raise UserError(f"{what} {', '.join(map(str, twice))} is given more than once; it is one run: give it once")


def _require_different(cells: Sequence[StudyCell], source: str) -> None:
    """Refuse two cells that are one run: it would be compared with itself, or count as two."""
    by_key: dict[str, StudyCell] = {}
    for cell in cells:
        key = json.dumps(_acting(cell.config), sort_keys=True, default=str)
        if (other := by_key.setdefault(key, cell)) is not cell:
            names = [f"{one.label} seed {one.seed}" for one in (other, cell)]
            raise UserError(
                f"{source}: {names[0]} and {names[1]} have the same settings, and so are one run; leave one out"
            )


def _acting(config: Config) -> dict[str, object]:
    """What determines a run's result, without what nothing reads, and names of ours in one spelling."""
    settings = determining(config)
    for key in ("data.name", "model.network"):
        if ":" not in (name := str(settings[key])):
            settings[key] = name.lower()
    unread = [] if config.model.skip_neurons is not None else ["model.skip_seed", "model.skip_head"]
    unread += [] if config.training.schedule == "milestones" else ["training.milestones", "training.factor"]
    return {key: value for key, value in settings.items() if key not in unread}
