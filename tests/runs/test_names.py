"""A name means one result: whatever determines it is in the name; runs of older versions are found by theirs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from repro.config import Config, former_identities
from repro.errors import UserError
from repro.own_code import source_digest
from repro.records import RunDirectory
from repro.runs.start import resolve, start
from repro.runs.validation import check
from repro.studies.match import match
from repro.studies.study import StudyCell
from tests.runs.test_session import records, small, weights

PLAIN = {"measure__measurements": ()}
NET = """
from torch import nn
from helpers import width

class MyNet(nn.Sequential):
    def __init__(self, num_classes, image_size, in_channels):
        super().__init__(nn.Flatten(), nn.Linear(in_channels * image_size**2, width()), nn.Linear(width(), num_classes))
"""
DATA = """
import numpy as np
from repro.data.loading.arrays import Arrays
from repro.data.module import ImageDataModule

class Mine(ImageDataModule):
    num_classes, in_channels, image_size = 2, 1, 8
    mean, deviation = (0.5,), (0.5,)

    def load(self):
        pixels = np.load(self.root / "pixels.npy")
        return Arrays(pixels, np.arange(len(pixels)) % 2, pixels[:8], np.arange(8) % 2)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A network and a data set of one's own."""
    place = tmp_path / "own"
    place.mkdir()
    (place / "mynets.py").write_text(NET)
    (place / "helpers.py").write_text("def width():\n    return 3\n")
    (place / "mydata.py").write_text(DATA)
    import numpy as np

    np.save(place / "pixels.npy", np.random.default_rng(0).integers(0, 256, (64, 8, 8)).astype(np.uint8))
    monkeypatch.syspath_prepend(place)
    monkeypatch.setenv("REPRO_TRUST", "mynets,mydata")
    yield place
    forget()


def forget() -> None:
    """As a new process would begin."""
    for name in ("mynets", "helpers", "mydata"):
        sys.modules.pop(name, None)


def mine(tmp_path: Path, **changes: object) -> Config:
    return small(tmp_path / "runs", model__network="mynets:MyNet", model__width=None, **{**PLAIN, **changes})


@pytest.mark.slow
def test_other_epochs_are_another_run_and_equal_a_fresh_one(tmp_path: Path) -> None:
    """4 epochs, then 6: with milestones as shares of all steps, six are trained from the start."""
    four = start(small(tmp_path / "a", trainer__max_epochs=2, **PLAIN))
    six = start(small(tmp_path / "a", trainer__max_epochs=3, **PLAIN))
    fresh = start(small(tmp_path / "b", trainer__max_epochs=3, **PLAIN))
    assert len({four.run.name, six.run.name}) == 2
    assert six.run.name == fresh.run.name
    assert records(six.run) == records(fresh.run)
    assert six.state["final"] == fresh.state["final"]
    assert start(small(tmp_path / "a", trainer__max_epochs=2, **PLAIN)).state == four.state


@pytest.mark.slow
def test_without_milestones_a_longer_run_goes_on_from_a_shorter_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    constant = {"training__milestones": (), **PLAIN}
    short = start(small(tmp_path / "a", trainer__max_epochs=1, **constant)).run
    middle = start(small(tmp_path / "a", trainer__max_epochs=2, **constant)).run
    long = start(small(tmp_path / "a", trainer__max_epochs=4, **constant)).run
    said = capsys.readouterr().err
    assert f"{middle.name} goes on from the end of {short.name}" in said
    assert f"{long.name} goes on from the end of {middle.name}" in said
    fresh = start(small(tmp_path / "b", trainer__max_epochs=4, **constant)).run
    assert long.name == fresh.name
    assert records(long) == records(fresh)
    assert long.state["final"] == fresh.state["final"]
    for name, value in weights(fresh).items():
        assert torch.equal(weights(long)[name], value), name
    again = start(small(tmp_path / "a", trainer__max_epochs=4, **constant), again=True).run
    assert "goes_on_from" not in again.state, "--again trains everything anew"


@pytest.mark.parametrize(
    "other",
    [
        {"training__momentum": 0.5},
        *(
            pytest.param(each, marks=pytest.mark.slow)
            for each in ({"seed": 1}, {"data__train_size": 96}, {"training__milestones": (0.5,)})
        ),
    ],
)
def test_it_goes_on_from_no_other_run(other: dict[str, object], tmp_path: Path) -> None:
    constant = {"training__milestones": (), **PLAIN}
    start(small(tmp_path, trainer__max_epochs=1, **{**constant, **other}))
    assert "goes_on_from" not in start(small(tmp_path, trainer__max_epochs=2, **constant)).state


def old(run: RunDirectory, config: Config, **state: object) -> RunDirectory:
    """A run as an older version has left it: under the name that leaves the epochs out."""
    former = run.path.with_name(f"resnet8-seed0-{former_identities(config, check(config))[-1]}")
    run.path.rename(former)
    made = RunDirectory(former)
    made.update_state(**state)
    return made


def test_a_run_of_an_older_version_is_found_by_its_name(tmp_path: Path) -> None:
    config = small(tmp_path, **PLAIN)
    made = old(start(config).run, config)
    assert resolve(config).directory.path == made.path
    assert start(config).action == "skipped"
    cell = StudyCell(label="a", seed=0, config=config)
    assert match([cell], made.path.parent)[0][0].path == made.path


@pytest.mark.slow
def test_a_run_that_an_older_version_extended_is_another_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small(tmp_path, **PLAIN)
    made = old(start(config).run, config, extended_from=[1])
    before = made.state
    cell = StudyCell(label="a", seed=0, config=config)
    (found,), (stray,) = match([cell], made.path.parent)
    assert found is None
    assert "an older version extended it from 1 to 3 epochs" in stray.difference
    outcome = start(config)
    assert outcome.action == "trained"
    assert outcome.run.path != made.path
    assert made.state == before
    said = capsys.readouterr().err
    assert f"'{made.path}', made by an older version" in said
    assert f"this run is '{outcome.run.name}'" in said


@pytest.mark.slow
def test_a_namesake_that_is_no_older_run_is_not_spoken_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start(small(tmp_path, trainer__max_epochs=10, data__train_size=32, **PLAIN))
    start(small(tmp_path, trainer__max_epochs=1, data__train_size=32, **PLAIN))
    assert "older version" not in capsys.readouterr().err


@pytest.mark.parametrize("file", ["mynets.py", "helpers.py"])
def test_an_edited_network_is_trained_anew(file: str, own: Path, tmp_path: Path) -> None:
    first = start(mine(tmp_path)).run
    assert start(mine(tmp_path)).action == "skipped"
    (own / file).write_text((own / file).read_text().replace("return 3", "return 4") + "\n# edited\n")
    forget()
    cell = StudyCell(label="a", seed=0, config=mine(tmp_path))
    (found,), (stray,) = match([cell], first.path.parent)
    assert found is None
    assert stray.difference == "the source of model.network has changed since"
    second = start(mine(tmp_path))
    assert second.action == "trained"
    assert second.run.path != first.path
    assert match([cell], first.path.parent)[0][0].path == second.run.path


@pytest.mark.slow
def test_edited_data_are_trained_on_anew(own: Path, tmp_path: Path) -> None:
    import numpy as np

    settings = {
        "model__network": "mlp", "model__hidden": (4,), "model__width": None, "data__name": "mydata:Mine",
        "data__root": str(own), "data__train_size": None, "data__test_size": None, "data__batch_size": 16, **PLAIN,
    }  # fmt: skip
    first = start(small(tmp_path, **settings))
    assert start(small(tmp_path, **settings)).action == "skipped"
    pixels = np.load(own / "pixels.npy")
    pixels[3, 4, 5] += 1
    np.save(own / "pixels.npy", pixels)
    second = start(small(tmp_path, **settings))
    assert second.action == "trained"
    (own / "mydata.py").write_text(DATA + "# edited")
    forget()
    third = start(small(tmp_path, **settings))
    assert third.action == "trained"
    assert len({first.run.name, second.run.name, third.run.name}) == 3


def test_the_source_is_read_and_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "strange"
    (package / "inner").mkdir(parents=True)
    for name, text in {
        "__init__.py": "raise SystemExit('imported')",
        "inner/__init__.py": "",
        "inner/nets.py": "from ..parts import block\nfrom . import sibling\ndef late():\n    import numpy, lonely",
        "inner/sibling.py": "x = 1",
        "parts.py": "block = 1",
    }.items():
        (package / name).write_text(text)
    (tmp_path / "lonely.py").write_text("y = 1")
    before = source_digest("strange.inner.nets:Net")
    assert before is not None
    assert before == source_digest("strange.inner.nets:Other")
    for file in ("inner/sibling.py", "parts.py", "../lonely.py", "inner/nets.py"):
        (package / file).write_text((package / file).read_text() + "\n# edited")
        after = source_digest("strange.inner.nets:Net")
        assert after != before, file
        before = after
    (tmp_path / "unrelated.py").write_text("z = 1")
    assert source_digest("strange.inner.nets:Net") == before
    assert source_digest("nowhere_at_all:Net") is None
    assert source_digest("torchvision.models.resnet:resnet18") is not None
    assert not [name for name in sys.modules if name.split(".")[0] in ("strange", "lonely")]


def test_an_older_checkpoint_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its signature does not know of epochs."""
    import json

    from repro.config import signature
    from repro.runs.checkpoint_file import CheckpointFile, refuse_foreign

    config = small(tmp_path, **PLAIN)
    older = {key: value for key, value in json.loads(signature(config)).items() if key != "trainer.max_epochs"}
    refuse_foreign({"signature": json.dumps(older)}, signature(config), tmp_path)
    longer = small(tmp_path, trainer__max_epochs=9, **PLAIN)
    with pytest.raises(UserError, match="trainer.max_epochs is 3 there and 9 here"):
        refuse_foreign({"signature": signature(config)}, signature(longer), tmp_path)
    assert CheckpointFile(signature(config)).signature == signature(config)
