"""Every public function and class has an example in its docstring, which runs as it stands."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest

import repro
from repro.config import from_mapping
from repro.runs.start import start

MORE = {
    "repro.spectra": (
        "conditioning",
        "hosvd_singular_values",
        "mode_conditioning",
        "mode_conditionings",
        "operator_conditionings",
        "unfold",
    ),
    "repro.measurements": ("take",),
    "repro.networks": ("create_network", "weight_layers"),
    "repro.data": ("create_data",),
    "repro.records": ("derived", "metrics", "readings", "spectra"),
    "repro.figures": ("draw",),
    "repro.report": ("build",),
    "repro.theory": ("examine",),
}
"""Public beside what `repro` itself exports."""
PUBLIC = [("repro", name) for name in repro.__all__]
PUBLIC += [(module, name) for module, names in MORE.items() for name in names]
# Notes of Lightning's and torch's own, which a stranger's Trainer shows.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{note}")
    for note in (".*LeafSpec", ".*does not have many workers", ".*in eval mode at the start", ".*tensorboardX")
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, called ``runs/single/RUN`` as in the examples."""
    folder = tmp_path_factory.mktemp("place")
    mapping: dict[str, Any] = {
        "model": {"network": "mlp", "hidden": [12]},
        "data": {"train_size": 200, "batch_size": 50},
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "progress": "none"},
        "measure": {"probe_size": 20, "spectra": True},
        "runs": str(folder / "runs"),
    }
    run = start(from_mapping(mapping)).run
    run.path.rename(run.path.with_name("RUN"))
    return folder


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_the_example_runs(module: str, name: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    thing = getattr(importlib.import_module(module), name)
    thing = inspect.unwrap(thing)
    assert "Example:" in (thing.__doc__ or ""), f"{module}.{name} has no example"
    monkeypatch.chdir(place)
    names = {**vars(inspect.getmodule(thing)), name: thing}  # type: ignore[arg-type]
    found = doctest.DocTestFinder(recurse=False).find(thing, name, globs=names)
    assert sum(len(each.examples) for each in found)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    assert sum(runner.run(each).failed for each in found) == 0
