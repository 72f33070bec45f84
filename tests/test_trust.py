"""Code that a file names is imported only if the user trusts it, and looked at before it is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import repro
from repro.cli import run
from repro.config import from_mapping
from repro.errors import UserError
from repro.importing import TRUST, load_own, require_trust, trusted, trusting
from repro.runs.validation import check_names

SOURCE = """
from pathlib import Path
Path("IMPORTED").touch()
from torch import nn
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from torch.nn import Module

class MyNet(nn.Sequential):
    def __init__(self, num_classes, image_size, in_channels, touch=None):
        if touch:
            Path(touch).touch()
        super().__init__(nn.Flatten(), nn.Linear(in_channels * image_size**2, num_classes))

def late(num_classes) -> "Module":
    return nn.Linear(3, num_classes)

def wrong(num_classes) -> int:
    Path("CALLED").touch()
    return 3
"""
SMALL = {
    "data": {"train_size": 64, "test_size": 32, "batch_size": 32},
    "trainer": {"max_epochs": 1, "accelerator": "cpu", "progress": "none"},
    "log": {"wandb": "disabled"},
    "measure": {"measurements": []},
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a module `strangers` that leaves a file when it is imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(TRUST, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "strangers.py").write_text(SOURCE)
    yield tmp_path
    sys.modules.pop("strangers", None)


def configuration(place: Path, **model: object) -> str:
    model = {"network": "strangers:MyNet", **model}
    (place / "theirs.yaml").write_text(yaml.safe_dump({**SMALL, "model": model}))
    return "theirs.yaml"


def study(place: Path) -> str:
    content = {
        "title": "t", "question": "q", "paper": "Oyedotun", "artefact": "Table 1", "expected": "e",
        "base": SMALL, "grid": {"net": {"a": {"model": {"network": "strangers:MyNet"}}}}, "presets": {"cpu": {}},
    }  # fmt: skip
    (place / "theirs-study.yaml").write_text(yaml.safe_dump(content))
    return "theirs-study.yaml"


@pytest.mark.parametrize(
    "command",
    [
        ["fit", "--config", "theirs.yaml"],
        ["test", "--config", "theirs.yaml"],
        ["doctor", "--config", "theirs.yaml"],
        ["landscape", "theirs.yaml"],
        ["study", "plan", "theirs-study.yaml"],
        ["study", "plan", "theirs-study.yaml", "--measure"],
        ["study", "run", "theirs-study.yaml", "--jobs", "1"],
        ["study", "run", "theirs-study.yaml", "--task", "0"],
        ["fit", "--config", "theirs.yaml", "--trust", "other,strangers.deeper"],
    ],
    ids=" ".join,
)
def test_what_a_file_names_is_not_imported(place: Path, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    configuration(place)
    study(place)
    assert run(command) in (1, 2)
    said = capsys.readouterr()
    assert "model.network names code: " in said.err + said.out
    assert f"{place}/strangers.py' would be imported and MyNet() called" in said.err + said.out
    assert "--trust strangers:MyNet" in said.err + said.out
    assert not (place / "IMPORTED").exists()


def test_a_run_that_somebody_sent_runs_no_code(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fit", "--config", configuration(place), "--trust", "strangers"]) == 0
    (made,) = (place / "runs" / "single").iterdir()
    sys.modules.pop("strangers")
    (place / "IMPORTED").unlink()
    for command in (["test", str(made)], ["measure", str(made)], ["landscape", str(made)]):
        assert run(command) == 2, command
        assert "names code" in capsys.readouterr().err
    with pytest.raises(UserError, match="names code"):
        repro.restore(made)
    with pytest.raises(UserError, match="names code"):
        repro.build(made / "config.yaml")
    assert not (place / "IMPORTED").exists()
    assert run(["test", str(made), "--trust=strangers:MyNet"]) == 0
    assert (place / "IMPORTED").exists()
    assert repro.restore(made, trust=["strangers"]).module.network[1].out_features == 10
    assert TRUST not in os.environ, "trust ends with the command"


def test_what_is_typed_is_trusted(place: Path) -> None:
    small = [f"--{group}.{key}={value}" for group, values in SMALL.items() for key, value in values.items()]
    assert run(["fit", *small, "--model.network", "strangers:MyNet"]) == 0
    assert run(["fit", *small, "--model.network=strangers:MyNet", "--seed", "1"]) == 0
    made = repro.build(model={"network": "strangers:MyNet"}, **SMALL)
    assert made.module.network[1].out_features == 10


def test_a_package_a_module_or_one_name_can_be_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TRUST, raising=False)
    for name in ("a", "a.b", "a.b:C"):
        with trusting([name]):
            require_trust("a.b:C", "model.network")
            assert trusted() == [name]
    for name in ("a.c", "a.b:D", "b", "a.b.c"):
        with trusting([name]), pytest.raises(UserError, match="--trust a.b:C"):
            require_trust("a.b:C", "model.network")
    monkeypatch.setenv(TRUST, " a , z:Q")
    require_trust("a.b:C", "model.network")
    with pytest.raises(UserError, match="cannot be trusted"), trusting(["a b"]):
        pass
    with pytest.raises(UserError, match="trust is 'ab'; allowed: a list"), trusting("ab"):  # not a and b
        pass


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("subprocess:getoutput", "of Python's own library, where there is no (network|dataset)"),
        ("os:system", "Python's own library"),
        ("builtins:eval", "Python's own library"),
        ("evil;x:y", "not an import path"),
        ("nowhere_at_all:X", "no module named 'nowhere_at_all'"),
    ],
)
def test_what_cannot_be_a_network_is_refused_before_any_question_of_trust(network: str, words: str) -> None:
    for mapping in ({"model.network": network}, {"data.name": network}):
        with pytest.raises(UserError, match=words):
            check_names(from_mapping(mapping))


def test_it_is_looked_at_before_it_is_called(place: Path) -> None:
    with pytest.raises(UserError, match=r"wrong is a function; a network is a subclass of torch.nn.Module"):
        load_own("strangers:wrong", "network", of="torch.nn:Module")
    assert not (place / "CALLED").exists()
    assert load_own("strangers:late", "network", of="torch.nn:Module")(4).out_features == 4
    with pytest.raises(UserError, match="a dataset is a subclass of lightning.pytorch.LightningDataModule"):
        load_own("strangers:MyNet", "dataset", of="lightning.pytorch:LightningDataModule")


def test_trust_is_handed_to_the_jobs_of_a_study(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["study", "submit", study(place), "--dry-run", "--time", "60", "--trust", "strangers"])
    assert "study run theirs-study.yaml --trust strangers --task" in capsys.readouterr().out


@pytest.mark.slow
def test_nothing_else_of_a_file_is_imported(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The parser of arguments imports classes that are named as it names them."""
    named = {"class_path": "strangers.MyNet", "init_args": {}}
    contents = [
        {"model": {"network": "mlp", "hidden": [8], "arguments": {"a": named}}},
        {"data": {"arguments": {"a": [{"b": named}]}}},
        {"model": named},
        {"base": SMALL, "grid": {"seed": [0]}, "presets": {"cpu": {"settings": {"model.arguments": {"a": named}}}}},
        {"base": SMALL, "grid": {"seed": [0]}, "presets": {"cpu": {}}, "paper_shows": {"a": named}},
    ]
    for content in contents:
        (place / "theirs.yaml").write_text(yaml.safe_dump(content))
        for command in (["fit", "--config", "theirs.yaml"], ["study", "plan", "theirs.yaml"]):
            assert run(command) == 2, content
            assert "has the key class_path" in capsys.readouterr().err
    (place / "strangers.yaml").write_text(yaml.safe_dump({"network": "mlp"}))
    for value in ("strangers.MyNet", "strangers.yaml", str(place / "strangers.yaml")):
        for group in ("model", "data"):
            for flags in ([f"--{group}", value], [f"--{group}={value}"]):
                assert run(["fit", *flags]) == 2
                assert f"--{group} is a group; its flags are --{group}." in capsys.readouterr().err
    assert not (place / "IMPORTED").exists()
