from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from repro.errors import UserError
from repro.networks import external
from repro.studies.files import load

CONTENT = {
    "title": "t",
    "question": "q",
    "paper": "Oyedotun",
    "artefact": "Table 1",
    "expected": "e",
    "base": {"model": {"width": 4}, "training.momentum": 0.5},
    "grid": {"model.network": ["plainnet8", "resnet8"], "data.batch_size": [32, 64]},
    "presets": {"cpu": {"settings": {"trainer": {"max_epochs": 2}}, "seeds": [1, 2]}, "full": None},
    "paper_values": {"plainnet8-32": {"test_accuracy": 10.0}},
    "claims": ["50 < resnet8-64.test_accuracy <= 60 | Table 1"],
}


def write(tmp_path: Path, **changes: object) -> str:
    path = tmp_path / "mine.yaml"
    content = {key: value for key, value in {**CONTENT, **changes}.items() if value != "absent"}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return str(path)


def test_the_grid_becomes_runs_for_every_seed(tmp_path: Path) -> None:
    study = load(write(tmp_path))
    assert study.name == "mine"
    cells = study.cells(runs="there")
    assert [(cell.label, cell.seed) for cell in cells] == [
        (f"{network}-{size}", seed) for seed in (1, 2) for network in ("plainnet8", "resnet8") for size in (32, 64)
    ], "a picture of all comes first"
    config = cells[5].config
    assert (config.model.network, config.model.width, config.data.batch_size) == ("plainnet8", 4, 64)
    assert (config.training.momentum, config.trainer.max_epochs, config.seed) == (0.5, 2, 2)
    assert (config.runs, config.study, config.name) == ("there", "mine", "plainnet8-64")


def test_other_presets_have_a_folder_of_their_own_and_seeds_can_be_given(tmp_path: Path) -> None:
    study = load(write(tmp_path))
    cells = study.cells("full", seeds=[7])
    assert {(cell.config.study, cell.seed, cell.config.trainer.max_epochs) for cell in cells} == {("mine-full", 7, 10)}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"titel": "t"}, "unknown key 'titel'; nearest: title"),
        ({"title": "absent"}, "lacks the key 'title'"),
        ({"grid": {"model.network": []}}, "grid without runs"),
        ({"grid": {}}, "grid without runs"),
        ({"presets": {}}, "lacks presets"),
        (
            {"presets": {"cpu": {"reductions": ["width 4"]}}},
            "preset cpu lists reductions, but not what they are compared with; add",
        ),
        ({"presets": {"cpu": {"seed": 1}}}, "unknown key 'seed'; nearest: seeds"),
        ({"claims": ["50 < resnet9-64.test_accuracy < 60 | Table 1"]}, "unknown cell 'resnet9-64'"),
        ({"claims": ["1 < resnet8-64.weights_kappa[x] < 50 | Fig. 7"]}, "unknown quantity 'weights_kappa\\[x\\]'"),
        ({"claims": ["resnet8-64.test_accuracy > 50 | Table 1 (60)"]}, "has one bound"),
        ({"claims": ["50 < resnet8-64.test_accuracy < 60"]}, "names no source in the paper"),
        ({"preset_claims": {"ful": []}}, "unknown preset of study mine 'ful'"),
        ({"preset_claims": {"full": ["50 < resnet9-64.test_accuracy < 60 | Table 1"]}}, "unknown cell 'resnet9-64'"),
        ({"paper_values": {"resnet8-64": {"accuracy": 3}}}, "unknown quantity 'accuracy'"),
        (
            {"presets": {"cpu": {"settings": {"data": {"batch_size": 8}}}}},
            "preset cpu sets data.batch_size, which the grid varies",
        ),
        ({"presets": {"cpu": {"reductions": [{"base width": 8}]}}}, "'reductions' is .* of the wrong kind"),
        ({"presets": {"cpu": {"seeds": "all"}}}, "'seeds' is 'all', which is of the wrong kind"),
        ({"claims": "a > 3"}, "'claims' is 'a > 3'"),
        ({"paper_values": {"plainnet9": {}}}, "unknown cell 'plainnet9'"),
    ],
)
def test_mistakes_in_a_study_file(changes: dict[str, object], text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=text):
        load(write(tmp_path, **changes))


def test_all_missing_keys_are_named_at_once(tmp_path: Path) -> None:
    absent = dict.fromkeys(("title", "question", "base", "grid", "presets"), "absent")
    with pytest.raises(UserError, match="lacks the keys 'title', 'question', 'base', 'grid', 'presets'"):
        load(write(tmp_path, **absent))


def test_a_study_without_a_paper_needs_neither_presets_nor_sources(tmp_path: Path) -> None:
    own = dict.fromkeys(("paper", "artefact", "expected", "presets", "paper_values"), "absent")
    study = load(write(tmp_path, **own, claims=["resnet8-64.test_accuracy > 50"]))
    assert [cell.seed for cell in study.cells()] == [0] * 4
    assert study.folder(None) == study.folder("default") == "mine"
    assert study.at(None, "command").scale == ""


def test_a_network_of_ones_own_leaves_out_what_the_base_says_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    external.note_left_out.cache_clear()
    base = {"model": {"network": "resnet8", "width": 4, "block": "basic"}, "data.batch_size": 32}
    grid = {"which": {"ours": {}, "theirs": {"model.network": "timm/resnet18"}}}
    own = {"paper": "absent", "paper_values": {}, "claims": [], "base": base, "grid": grid}
    ours, theirs = load(write(tmp_path, **own, presets={"cpu": None})).cells()
    assert (ours.config.model.width, ours.config.model.block) == (4, "basic")
    assert (theirs.config.model.width, theirs.config.model.block) == (None, None)
    assert theirs.config.data.batch_size == 32
    note = (
        "repro: note: timm/resnet18 does not take what the file says of its network; left out: width 4, block basic\n"
    )
    assert capsys.readouterr().err == note
    adjusted = [{"cells": "theirs", "settings": {"model.width": 9}}]
    _, theirs = load(write(tmp_path, **own, presets={"cpu": None}, adjust=adjusted)).cells()
    assert theirs.config.model.width == 9, "what a cell itself asks for is refused where it is checked"


def test_a_base_is_looked_for_beside_the_study_and_then_among_ours(tmp_path: Path) -> None:
    name = "oyedotun-mnist5k.yaml"
    assert load(write(tmp_path, base=name)).cells()[0].config.model.width == 8
    (tmp_path / name).write_text("model: {width: 3}")
    assert load(write(tmp_path, base=name)).cells()[0].config.model.width == 3
    with pytest.raises(UserError, match="there-is-none.yaml"):
        load(write(tmp_path, base="there-is-none.yaml")).cells()


def test_a_wrong_setting_names_the_study(tmp_path: Path) -> None:
    study = load(write(tmp_path, base={"model": {"widht": 4}}))
    with pytest.raises(UserError, match=r"unknown key 'model.widht'; nearest: model.width.*study mine"):
        study.cells()
    with pytest.raises(UserError, match="unknown preset of study mine 'cup'; nearest: cpu"):
        load(write(tmp_path)).cells("cup")


def test_an_unknown_study_names_those_there_are() -> None:
    with pytest.raises(UserError, match="unknown study 'dmeo'; nearest: demo"):
        load("dmeo")


def test_a_presets_settings_come_after_the_studys_adjustments_and_before_its_own(tmp_path: Path) -> None:
    adjust = [{"cells": "resnet8-*", "settings": {"trainer.max_epochs": 9, "training.momentum": 0.1}}]
    own = [{"cells": "*-64", "settings": {"trainer": {"max_epochs": 3}}}]
    presets = {"cpu": {"settings": {"trainer": {"max_epochs": 2}}, "adjust": own}, "full": {}}
    study = load(write(tmp_path, adjust=adjust, presets=presets))
    small = {cell.label: cell.config for cell in study.cells()}
    assert {label: config.trainer.max_epochs for label, config in small.items()} == {
        "plainnet8-32": 2,
        "plainnet8-64": 3,
        "resnet8-32": 2,
        "resnet8-64": 3,
    }
    assert small["resnet8-32"].training.momentum == 0.1
    assert {cell.config.trainer.max_epochs for cell in study.cells("full") if cell.label.startswith("res")} == {9}


def test_some_claims_are_made_at_one_preset_only(tmp_path: Path) -> None:
    claim, more = "50 < resnet8-64.test_accuracy <= 60 | Table 1", "resnet8-64.test_accuracy == 55 | Table 1"
    study = load(write(tmp_path, preset_claims={"full": [more]}))
    assert study.at(None, "").claims == study.at("cpu", "").claims == [claim]
    assert study.at("full", "").claims == [claim, more]


def test_runs_of_other_data_are_not_held_against_the_papers_values(tmp_path: Path) -> None:
    sizes = {
        "part": {"settings": {"data": {"name": "MNIST5k"}}},
        "other": {
            "settings": {"data.name": "CIFAR10"},
            "adjust": [{"cells": "res*", "settings": {"data.name": "MNIST"}}],
        },
        "full": {"settings": {"data.name": "MNIST"}},
    }
    values = {"plainnet8-32": {"test_accuracy": 10.0}, "resnet8-32": {"test_accuracy": 99.0}}
    study = load(write(tmp_path, presets=sizes, paper_values=values))
    assert study.at("full", "").paper_values == study.at("part", "").paper_values == values
    at_other = study.at("other", "")
    assert at_other.paper_values == {"resnet8-32": {"test_accuracy": 99.0}}
    assert at_other.reductions == ["other data, CIFAR10 (the paper's MNIST): values are not held against the paper's"]


def test_the_tables_of_ten_classes_do_not_show_the_papers_thousand() -> None:
    study = load("oyedotun-table4")
    assert study.at("cpu", "").paper_values == {}
    assert study.at("full", "").paper_values["resnet101"]["test_accuracy"] == 77.32


def test_at_full_size_every_accuracy_of_the_papers_is_claimed(tmp_path: Path) -> None:
    values = {"resnet8-64": {"train_accuracy": 99.5, "test_accuracy": "55.25 ± 0.3", "seconds": 4}}
    study = load(write(tmp_path, paper_within=2, paper_values=values))
    assert study.at("cpu", "").claims == study.claims
    assert study.at("full", "").claims[1:] == [
        "97.50 <= resnet8-64.train_accuracy <= 100.00 | Table 1 (99.5)",
        "53.25 <= resnet8-64.test_accuracy <= 57.25 | Table 1 (55.25 ± 0.3)",
    ]
    study = load(
        write(tmp_path, paper_within=2, paper_values=values, claims=["resnet8-64.train_accuracy == 99.5 | Table 1"])
    )
    assert len(study.at("full", "").claims) == 2, "one has it exactly"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"presets": {"cpu": {"seeds": [0, 1, 0]}}}, "seed 0 is given more than once"),
        ({"presets": {"cpu": {"seeds": [0, "0"]}}}, "seed 0 is given more than once"),
        ({"adjust": [{"cells": "*", "seeds": [1, 1]}]}, "seed 1 is given more than once"),
        ({"grid": {"training.momentum": [0.1, 0.1]}, "base": {}}, "0.1 is given more than once"),
        ({"grid": {"training.momentum": ["1e-1", 0.1]}, "base": {}}, "1e-1 seed 1 and 0.1 seed 1 have the same"),
        ({"grid": {"data.name": ["MNIST5k", "mnist5k"]}}, "MNIST5k seed 1 and mnist5k seed 1 have the same"),
        ({"grid": {"model.skip_seed": [3, 4]}}, "3 seed 1 and 4 seed 1 have the same"),
        ({"seed_key": "model.skip_seed", "grid": {"data.batch_size": [8]}}, "8 seed 1 and 8 seed 2 have the same"),
    ],
)
def test_one_run_does_not_count_as_two(changes: dict[str, object], text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=text):
        load(write(tmp_path, **{"claims": "absent", "paper_values": "absent", **changes})).cells()
