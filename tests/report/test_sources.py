from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from repro.errors import UserError
from repro.report.differences import told_apart
from repro.report.outcomes import outcomes
from repro.report.sources import Section, sections
from repro.report.tables import accuracy_table


def test_a_study_is_one_section_with_its_cells_in_order(run, manifest) -> None:
    run("b")
    folder = manifest(("resnet20", 0, "b"), ("plainnet20", 0, "a"))
    (section,) = sections([folder])
    assert [(cell.label, cell.run is not None) for cell in section.cells] == [("resnet20", True), ("plainnet20", False)]
    assert (section.key, section.title, section.paper, section.reduced) == ("demo", "A study", "Oyedotun", True)


def test_a_folder_of_studies_and_of_runs_without_one(run, manifest, tmp_path: Path) -> None:
    run("a")
    manifest(("resnet20", 0, "a"))
    run("x", folder="runs/single")
    run("y", folder="runs/single", seed=3)
    study, single = sections([tmp_path / "runs"])
    assert study.title == "A study"
    assert [(cell.label, cell.seed) for cell in single.cells] == [("resnet20", 0), ("resnet20", 3)], "two seeds of one"
    assert not single.paper_values
    assert not single.claims


def test_runs_of_a_study_that_its_manifest_does_not_name_are_left_out(run, manifest) -> None:
    run("a")
    run("a.1")
    (section,) = sections([manifest(("resnet20", 0, "a"))])
    assert [cell.name for cell in section.cells] == ["a"]


def test_a_run_that_is_named_itself_stands_for_itself(run, manifest) -> None:
    directory = run("a")
    manifest(("resnet20", 0, "a"))
    (section,) = sections([directory.path])
    assert section.cells[0].label == "a"


def test_the_same_study_twice_is_one_section_and_two_of_one_name_are_two(run, manifest) -> None:
    for folder in ("one/demo", "two/demo"):
        run("a", folder=folder)
    first = manifest(("resnet20", 0, "a"), folder="one/demo")
    second = manifest(("resnet20", 0, "a"), folder="two/demo")
    assert [section.key for section in sections([first, first, second, first.parent])] == ["demo", "demo-2"]


def test_a_missing_path_and_a_folder_without_runs_are_told(manifest, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        sections([tmp_path / "nothing"])
    with pytest.raises(UserError, match="no run in"):
        sections([tmp_path])
    with pytest.raises(UserError, match="no run in"):
        sections([manifest(("resnet20", 0, "a"))])


@pytest.mark.parametrize("content", ["{", "[]", '{"study": "demo"}', '{"cells": [{"label": 1}]}'])
def test_a_damaged_manifest_is_told_and_hides_nothing(run, manifest, content: str, tmp_path: Path, capsys) -> None:
    for folder in ("one", "two"):
        run("a", folder=f"runs/{folder}")
        manifest(("resnet20", 0, "a"), folder=f"runs/{folder}", study=folder)
    (tmp_path / "runs" / "one" / "manifest.json").write_text(content)
    whole, damaged = sections([tmp_path / "runs"])
    assert (whole.name, whole.damage) == ("two", ())
    assert_left_out(damaged, capsys.readouterr().err)


def assert_left_out(section: Section, said: str) -> None:
    """The runs of a study that cannot be known are there as those of a folder."""
    assert section.title.startswith("Runs in ")
    assert [cell.name for cell in section.cells] == ["a"]
    (damage,) = section.damage
    assert "manifest.json' is not a study's manifest (" in damage
    assert said == f"repro: {damage}\n"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, value) for key in ("title", "question", "paper", "preset", "command") for value in (3, None, ["a"])),
        *((key, value) for key in ("claims", "reductions") for value in ("abc", 3, [3], None)),
        *(("figures", value) for value in ("abc", [3], {"a": 1})),
        *(("paper_values", value) for value in ([3], {"a": 3}, {"a": {"test_accuracy": "nan"}})),
        *(("paper_runs", value) for value in (0, -1, "3", True)),
        *(("study", value) for value in ("", "../x", "x" * 300, 3)),
        *(
            ("cells", [{"label": "a", "seed": 0, "run": "a"} | odd])
            for odd in ({"label": 3}, {"seed": [1]}, {"seed": "x"})
        ),
    ],
)
def test_a_manifest_of_another_form_is_told(key: str, value: object, run, manifest, capsys) -> None:
    run("a")
    path = manifest(("resnet20", 0, "a")) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    (section,) = sections([path.parent])
    assert_left_out(section, capsys.readouterr().err)


@pytest.mark.parametrize(
    "written",
    [
        *("data: {name: [a]}", "model: {network: {a: b}}", "seed: [1]", "name: [1]", "model: {network: null}"),
        *("seed: x", "model: {3: 4}", "data: 3", ""),
    ],
)
def test_a_configuration_of_another_form_is_shown_as_far_as_it_goes(written: str, run, tmp_path: Path) -> None:
    run("a", folder="runs/own")
    odd = run("b", folder="runs/own")
    odd.config_path.write_text(f"{written}\n")
    (section,) = sections([odd.path.parent])
    assert [result.ended for result in outcomes(section)] == [True, True]
    assert len(accuracy_table(section, outcomes(section)).rows) == 2


def test_a_run_counts_once_though_it_was_copied_or_is_named_twice(run, manifest) -> None:
    """By hand in a manifest: three seeds of one run would have no spread at all."""
    first = run("a")
    shutil.copytree(first.path, first.path.with_name("a-copy"))
    first.path.with_name("a-link").symlink_to(first.path)
    run("b", seed=1)
    cells = [("x", 0, "a"), ("x", 1, "a-copy"), ("x", 2, "a-link"), ("x", 3, "a"), ("x", 4, "b"), ("x", 5, "not-run")]
    (section,) = sections([manifest(*cells)])
    assert [cell.name for cell in section.cells] == ["a", "b", "not-run"]
    assert section.strays[0] == "a-copy: the same run as a, which counts once"
    assert len(section.strays) == 3


def test_runs_of_ones_own_have_columns_for_what_differs_and_no_hashes() -> None:
    def of(network: str, rate: float, seed: int = 0, **more: object) -> dict[str, object]:
        return {"model": {"network": network}, "training": {"learning_rate": rate}, "seed": seed, **more}

    runs = [of("resnet20", 0.1), of("resnet20", 0.1, 1), of("plainnet20", 0.1), of("resnet20", 0.01, name="学习率")]
    runs += [of("plainnet20", 0.1, log={"every_n_steps": 3})]
    sets = [
        of("resnet20", 0.1, data={"name": name, "train_size": size}) for name, size in (("MNIST", 9), ("CIFAR10", None))
    ]
    labels, columns = told_apart(sets, ["a", "b"])
    assert labels == ["resnet20, data set MNIST, train size 9", "resnet20, data set CIFAR10"], (
        "what is not set is left out"
    )
    assert columns[labels[1]] == {"data set": "CIFAR10", "network": "ResNet-20"}
    labels, columns = told_apart(runs, ["a-0123abcd", "b", "c", "d", "c.1"])
    assert labels == [
        "resnet20, learning rate 0.1",
        "resnet20, learning rate 0.1",
        "plainnet20, learning rate 0.1, c",
        "学习率",
        "plainnet20, learning rate 0.1, c.1",
    ]
    assert columns["学习率"] == {"learning rate": "0.01", "network": "ResNet-20"}
    assert columns[labels[2]] == columns[labels[4]] == {"learning rate": "0.1", "network": "PlainNet-20"}
    assert told_apart(runs[:1], ["a-0123abcd"]) == (["a"], {"a": {}})


def test_of_many_networks_the_first_are_drawn_and_all_are_counted(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repro.report.outcomes.MOST_DRAWN", 2)
    for number in range(3):
        run(f"r{number}", folder="runs/own", network=f"resnet{20 + 6 * number}")
    (section,) = sections([run("r0", folder="runs/own").path.parent])
    found = outcomes(section)
    assert [outcome.records is not None for outcome in found] == [True, True, False]
    assert [outcome.quantities["test_accuracy"] for outcome in found] == [95.0] * 3
    table = accuracy_table(section, found)
    assert [row[0] for row in table.rows] == ["ResNet-20", "ResNet-26", "ResNet-32"]
