"""Every artefact of the two papers has a study file, and every file says what it is and can be read."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from repro import figures, measurements, networks
from repro.config import Config, configurations
from repro.data.registry import dataset
from repro.runs.validation import network_options
from repro.studies import claims, spread, verdict
from repro.studies.files import load as read
from repro.studies.files import names
from repro.studies.study import StudyCell

ARTEFACTS = {
    ("Oyedotun", "Table 1"),
    ("Oyedotun", "Table 2"),
    ("Oyedotun", "Table 3"),
    ("Oyedotun", "Table 4"),
    ("Oyedotun", "section 6.2"),
    ("Oyedotun", "section 6.3"),
    ("Oyedotun", "section 6.4"),
    ("Oyedotun", "section 6.5 (a)"),
    ("Oyedotun", "section 6.5 (b)"),
    ("Oyedotun", "section 6.5 (c)"),
    ("Oyedotun", "section 6.5 (d)"),
    ("Oyedotun", "Remarks 4 to 6"),
    ("Oyedotun", "Proposition 3"),
    *(("Oyedotun", f"Fig. {number}") for number in (*range(2, 7), *range(10, 14))),
    *(("Oyedotun", f"Fig. {number}, {side}") for number in (7, 8, 9) for side in ("left", "right")),
    ("Nguyen", "Table 1"),
    ("Nguyen", "Table 2"),
    ("Nguyen", "Table 4"),
    ("Nguyen", "Table 5"),
    ("Nguyen", "Fig. 3"),
    ("Nguyen", "Fig. 5"),
    ("Nguyen", "section F"),
}
"""Those that consist of trained networks. Theorems and lemmas are checked by computation, not by training."""

load = lru_cache(read)


@lru_cache
def cells(name: str, preset: str) -> list[StudyCell]:
    """With one seed: reading a configuration takes time."""
    return load(name).cells(preset, seeds=[0])


OF_THEIR_OWN = [name for name in names() if load(name).runs_of is None]
OF_OTHERS = [name for name in names() if load(name).runs_of is not None]


def path(name: str) -> Path:
    return configurations() / "studies" / f"{name}.yaml"


def content(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path(name).read_text(encoding="utf-8"))
    return found


def refuse_what_cannot_be_run(config: Config) -> None:
    """As `repro.runs.validation.check`, without the data: they need not be here."""
    data = dataset(config.data.name)
    assert config.data.augmentation in data.augmentations
    images = config.data.train_size or data.train - config.data.validation_size
    assert max(images, config.data.batch_size) <= data.train - config.data.validation_size or data.tree is not None
    assert not config.measure.measurements or config.measure.probe_size <= images
    assert config.model.train == "all" or config.data.augmentation == "none"
    facts = {
        "num_classes": data.classes,
        "in_channels": data.channels,
        "image_size": config.data.image_size or data.image_size,
    }
    networks.check(config.model.network, **facts, **network_options(config))
    measurements.check([*config.measure.measurements, *config.measure.every_n_steps])


def test_every_artefact_has_a_file() -> None:
    covered = {(study.paper, study.artefact) for study in map(load, names())}
    assert covered >= ARTEFACTS


@pytest.mark.parametrize("name", names())
def test_a_file_opens_with_its_facts(name: str) -> None:
    study, lines = load(name), path(name).read_text(encoding="utf-8").splitlines()
    head = [line for line in lines[:8] if line.startswith("#")]
    assert head[0].startswith(f"# {study.paper}, " if study.paper else "# Ours: "), (
        "it names the paper and the artefact"
    )
    for word in ("# Command:", "# Expected:", "# Cost:"):
        assert any(line.startswith(word) for line in head), word
    commands = [line.removeprefix("# Command:").removeprefix("#").strip() for line in head]
    named = [line.split()[3] for line in commands if line.startswith("repro study ")]
    assert study.name in named or name == "demo"
    assert all(each in names() for each in named)


@pytest.mark.parametrize("name", names())
def test_figures_exist_and_claims_can_be_read(name: str) -> None:
    study = load(name)
    assert set(study.figures or ()) <= set(figures.names())
    assert set(study.paper_shows) <= set(figures.names())
    if study.figures is not None:
        assert set(study.paper_shows) <= set(study.figures), "what the paper shows is printed below a figure"
    for claim in study.claims:
        claims.check(claim, study.labels(), of_paper=bool(study.paper))
    assert all(text.strip() for text in (study.title, study.question, study.expected))


@pytest.mark.parametrize("name", names())
def test_the_papers_own_numbers_meet_its_claims(name: str) -> None:
    study = load(name)
    values = {
        label: {quantity: {0: spread.published(value, study.paper_runs).mean} for quantity, value in of_cell.items()}
        for label, of_cell in study.paper_values.items()
    }
    for claim in study.claims_at("full"):
        judged = verdict.evaluate(claim, values)
        assert judged.verdict != "fails", (claim, judged.detail)


def test_every_claim_has_the_papers_bound_on_both_sides_or_says_why_there_is_one() -> None:
    one_sided: dict[str, str] = {}
    for study in filter(lambda study: study.paper, map(load, names())):
        for text in study.claims_at("full"):
            claim = claims.parse(text)
            assert claim.source, text
            if not claim.compares_cells and claim.sign != "==" and math.inf in map(abs, claim.bounds):
                one_sided[text] = claim.one_bound
        assert not any(claims.parse(text).one_bound for text in study.preset_claims.get("full", ())), (
            "at full size both"
        )
    assert set(one_sided.values()) == {
        "a reduced run need not come up to it",
        "the paper gives no number",
        "the paper gives ranges of weights, not singular values",
        "the paper says less than, and no more",
    }


@pytest.mark.parametrize("name", OF_THEIR_OWN)
def test_crops_at_full_size_are_filled_with_reflections(name: str) -> None:
    for cell in cells(name, "full") if "full" in load(name).presets else []:
        data = cell.config.data
        tried = cell.label.endswith("-zero")  # in what the paper leaves open
        assert data.augmentation != "crop_flip" or data.padding == "reflect" or tried, cell.label


@pytest.mark.parametrize("name", [name for name in OF_THEIR_OWN if "night" in load(name).presets])
def test_a_night_has_our_full_width_and_all_images(name: str) -> None:
    full = {cell.label: cell.config for cell in load(name).cells("full", seeds=[0])}
    for cell in cells(name, "night"):
        assert cell.config.model == full[cell.label].model
        assert cell.config.data == full[cell.label].data
        # Nguyen's networks are some times as large, and converge in few epochs or stay at chance.
        assert cell.config.trainer.max_epochs >= (5 if load(name).paper == "Oyedotun" else 2)


@pytest.mark.parametrize("name", OF_THEIR_OWN)
def test_presets_say_what_they_reduce_and_can_be_run(name: str) -> None:
    study = load(name)
    assert study.default_preset == "cpu"
    assert set(study.presets) - {"night"} == {"cpu", "smoke"} | ({"full"} if name != "demo" else set())
    for preset, size in study.presets.items():
        assert size.cost, preset
        assert not (preset == "full" and size.reductions)
        assert preset != "smoke" or size.reductions
        found = cells(name, preset)
        assert found, preset
        for cell in found:
            refuse_what_cannot_be_run(cell.config)
        if preset == "smoke":
            assert {cell.config.data.name for cell in found} == {"MNIST5k"}, "it runs anywhere"
        if preset != "full" and "full" in study.presets:
            smaller = _scale(name, preset) != _scale(name, "full")
            assert bool(size.reductions) == smaller, f"{preset} is smaller than full and says so, or neither"


def _scale(name: str, preset: str) -> set[tuple[object, ...]]:
    """What makes a preset's cells large or small, whatever their number of seeds."""
    return {
        (
            cell.label,
            cell.config.data.name,
            cell.config.data.train_size,
            cell.config.model,
            cell.config.training,
            cell.config.trainer.max_epochs,
        )
        for cell in cells(name, preset)
    }


@pytest.mark.parametrize("name", OF_OTHERS)
def test_a_file_about_other_runs_says_which_figures_and_adds_no_runs(name: str) -> None:
    study = load(name)
    assert study.runs_of in OF_THEIR_OWN
    assert study.figures
    assert study.paper_shows
    assert study.folder(None) == study.runs_of
    assert (study.grid, study.presets) == (load(study.runs_of).grid, load(study.runs_of).presets)


@pytest.mark.parametrize("name", [name for name in OF_THEIR_OWN if name.startswith("nguyen-table")])
def test_nguyens_deviations_are_over_choices_of_the_neurons(name: str) -> None:
    study = load(name)
    assert (study.seed_key, content(name)["paper_runs"]) == ("model.skip_seed", 8)
    assert study.preset("full").seeds == list(range(8))
    skips = {cell.label: cell.config.model.skip_neurons for cell in cells(name, "full")}
    assert set(skips) == set(study.paper_values)
    for cell in cells(name, "full"):
        assert cell.config.model.train == ("output" if "-rand" in cell.label else "all")
        assert cell.config.model.skip_neurons == (None if "plain" in cell.label else "train")
    for label, values in study.paper_values.items():
        assert ("±" in str(values["test_accuracy"])) == bool(skips[label]), label
    assert {each.cells: each.seeds for each in study.adjust if each.seeds} in ({"*-plain": [0]}, {"*-plain-*": [0]})


def test_nguyens_epochs_and_rates_are_those_of_section_4_and_f() -> None:
    found = {cell.label: cell.config for cell in cells("nguyen-table2", "full")}
    for label, config in found.items():
        epochs = {"sigmoid-sgd": 1000, "sigmoid-rand": 5000}.get(label.partition("-")[2], 300)
        assert config.trainer.max_epochs == epochs, label
        assert config.training.learning_rate == (0.1 if label.startswith("densenet121") else 0.01), label
