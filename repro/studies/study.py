"""A study file: one artefact of a paper, as the runs that reproduce it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from repro.config import Config, flatten, from_mapping, read_yaml, typed
from repro.errors import UserError, unknown
from repro.studies import claims


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One size at which a study can be run."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """Configuration keys that this size changes."""
    seeds: Sequence[int] = (0,)
    """Seeds; one run of every cell for each."""
    reductions: Sequence[str] = ()
    """What is smaller than in the paper, in words; none means full size."""
    cost: str = ""
    """Measured or estimated cost, with the machine."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of a study."""

    label: str
    seed: int
    config: Config


@dataclass(frozen=True, kw_only=True)
class Study:
    """One artefact of a paper: a grid of runs, the paper's values, and its claims."""

    name: str
    title: str
    question: str
    """What the study asks, in a sentence."""
    paper: str
    """Oyedotun or Nguyen."""
    artefact: str
    """Table 1, Fig. 9 ..."""
    expected: str
    """What should come out."""
    base: Mapping[str, Any] | str
    """Configuration of every cell: keys and values, or a file below the folder of configurations."""
    grid: Mapping[str, Sequence[Any]]
    """Configuration keys with the values that they take; cells are all combinations, labelled by the values."""
    presets: Mapping[str, Preset]
    """Sizes; the first is the default."""
    paper_values: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """The paper's numbers by cell and quantity (accuracies in per cent)."""
    claims: Sequence[str] = ()
    """Checkable statements (`repro.studies.claims`)."""

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

    def folder(self, preset: str | None) -> str:
        """Name of the folder of this study's runs at a preset."""
        return self.name if preset in (None, self.default_preset) else f"{self.name}-{preset}"

    def labels(self) -> list[str]:
        """The cells' labels: the grid's values joined by hyphens."""
        return ["-".join(str(value) for value in values) for values in itertools.product(*self.grid.values())]

    def cells(self, preset: str | None = None, *, seeds: Sequence[int] | None = None, runs: str = "runs") -> list[Cell]:
        """Every run of the study at a preset, in the order in which they are run."""
        chosen = self.preset(preset)
        base = read_yaml(configurations() / self.base) if isinstance(self.base, str) else self.base
        source = f"study {self.name}"
        shared = {**flatten(base, source=source), **flatten(chosen.settings, source=source)}
        cells = []
        for label, values in zip(self.labels(), itertools.product(*self.grid.values()), strict=True):
            for seed in seeds or chosen.seeds:
                settings = {**shared, **dict(zip(self.grid, values, strict=True)), "seed": seed}
                config = from_mapping(settings, source=source)
                config = dataclasses.replace(config, study=self.folder(preset), name=label, runs=runs)
                cells.append(Cell(label=label, seed=seed, config=config))
        return cells


def configurations() -> Path:
    """The folder of configurations: `configs/` of the checkout, or the copy that an installed package carries."""
    package = Path(str(resources.files("repro")))
    checkout = package.parent / "configs"
    return checkout if checkout.is_dir() else package / "_configs"


def names() -> list[str]:
    """The studies that come with the package."""
    return sorted(path.stem for path in (configurations() / "studies").glob("*.yaml"))


def _fill(kind: type, content: Mapping[str, Any], where: str) -> Any:
    fields = {entry.name: entry for entry in dataclasses.fields(kind)}
    for key in content:
        if key not in fields:
            raise unknown("key", key, fields, extra=f"in {where}")
    for name, entry in fields.items():
        required = entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
        if required and name not in content:
            raise UserError(f"{where} lacks the key '{name}'")
    plain = {name: value for name, value in content.items() if name not in ("presets", "base")}
    return kind(**{**content, **typed(kind, plain, source=where)})


def load(name: str) -> Study:
    """A study by name, or by the path of a file that ends in .yaml.

    Raises:
        UserError: For an unknown study, an unknown or missing key, a grid without runs, or a claim about a cell that
            the study does not have.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else configurations() / "studies" / f"{name}.yaml"
    if not path.is_file():
        raise unknown("study", name, names(), extra="or the path of a .yaml file")
    content = read_yaml(path)
    content.setdefault("name", path.stem)
    where = f"study '{path.name}'"
    presets = content.get("presets") or {}
    if not isinstance(presets, Mapping) or not presets:
        raise UserError(f"{where} lacks presets; it needs at least one")
    content["presets"] = {
        preset: _fill(Preset, settings or {}, f"{where}, preset {preset}") for preset, settings in presets.items()
    }
    study: Study = _fill(Study, content, where)
    if not study.grid or not study.labels():
        raise UserError(f"{where} has a grid without runs; every key of the grid needs at least one value")
    for claim in study.claims:
        claims.check(claim, study.labels())
    for label in study.paper_values:
        if label not in study.labels():
            raise unknown("cell", label, study.labels(), extra=f"in paper_values of {where}")
    return study
