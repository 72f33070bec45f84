"""The code in the documents runs as it is written."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import repro
from repro.cli import run
from repro.errors import UserError
from repro.networks import external
from repro.records import RunDirectory, find_runs

DOCS = Path(__file__).parents[1] / "docs"


def blocks(document: str) -> list[str]:
    text = (DOCS / document).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


class LanguageModel(nn.Module):
    """Takes ids by name and returns an object, as transformers' do."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(7, 5), nn.Linear(5, 7)

    def forward(self, input_ids: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.head(self.embedding(input_ids)))


def test_hugging_faces_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a stand-in: transformers is not installed. Its callback has `on_step_end` and so on, all by keyword."""
    stand_in = ModuleType("transformers")
    stand_in.TrainerCallback = type("TrainerCallback", (), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transformers", stand_in)
    names: dict[str, Any] = {}
    (code,) = blocks("any-network.md")
    exec(code, names)
    assert len([line for line in code.split("class Measured")[1].splitlines() if line.strip()]) <= 10
    torch.manual_seed(0)
    model, tokens = LanguageModel(), torch.randint(7, (4, 6))
    callback = names["Measured"](
        tmp_path / "mine", model, {"input_ids": tokens}, tokens, every=2, output="logits", measurements=["gradients"]
    )
    for step in range(1, 6):
        callback.on_step_end(None, SimpleNamespace(global_step=step, epoch=step / 3), None, model=model)
    callback.on_train_end(None, None, None, model=model)
    read = repro.records.readings(tmp_path / "mine")
    assert read.drop_duplicates("step")[["step", "epoch"]].to_numpy().tolist() == [[2, 1], [4, 2]]
    assert RunDirectory(tmp_path / "mine").state["status"] == "finished"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of your-own.md, as they stand, in the folder of the commands."""
    text = (DOCS / "your-own.md").read_text(encoding="utf-8")
    for code in re.findall(r"^```(?:python|yaml)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if name := re.match(r"# (\S+)\n", code):
            (tmp_path / name[1]).write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    for module in ("mine", "stripes", "norms"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return tmp_path


def commands(document: str) -> list[list[str]]:
    lines = (DOCS / document).read_text(encoding="utf-8").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("repro ")]


FEW = ["--data.train_size", "64", "--data.test_size", "50", "--trainer.max_epochs", "1", "--measure.probe_size", "8"]
QUICK = ["--trainer.accelerator", "cpu", "--trainer.progress", "none", "--log.wandb", "disabled"]


def test_a_network_of_ones_own_leaves_out_what_it_does_not_take(folder: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    external.note_left_out.cache_clear()
    (fit, *_) = commands("your-own.md")
    fit[fit.index("--config") + 1] = str(DOCS.parent / fit[fit.index("--config") + 1])
    assert run([*fit, *FEW, *QUICK, "--training.warmup_steps", "1"]) == 0
    note = "note: mine:Net does not take what the file says of its network; left out: width 8"
    assert note in capsys.readouterr().err
    assert run([*fit, *FEW, *QUICK, "--model.width", "9"]) == 2
    assert "mine:Net does not take width (given: 9)" in capsys.readouterr().err
    (made,) = find_runs(["runs"])
    assert "16, out_features=10" in str(repro.restore(made.path, trust=["mine"]).module.network)


def test_a_data_set_of_ones_own(folder: Path) -> None:
    (_, fit, *_) = commands("your-own.md")
    assert run([*fit, *QUICK, "--measure.probe_size", "8", "--training.warmup_steps", "1"]) == 0
    (made,) = find_runs(["runs"])
    assert made.state["final"]["test_accuracy"] > 0.9


def test_a_measurement_of_ones_own(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:  # type: ignore[no-untyped-def]
    from repro.measurements import MEASUREMENTS

    network, images = nn.Linear(4, 3), torch.randn(8, 4)
    names: dict[str, Any] = {"network": network, "images": images}
    fit = commands("your-own.md")[2]
    fit[fit.index("--config") + 1] = str(DOCS.parent / fit[fit.index("--config") + 1])
    try:
        exec(blocks("your-own.md")[-1], names)
        assert names["frame"]["value"].tolist() == [pytest.approx(network.weight.norm().item())]
        assert run([*fit, *FEW, *QUICK]) == 0
        (made,) = find_runs(["runs"])
        assert set(repro.records.readings(made)["measurement"]) == {"weights", "norms"}
        (folder / "theirs.yaml").write_text("measure: {measurements: ['norms:NORMS']}")
        assert run(["fit", "--config", "theirs.yaml"]) == 2
        assert "measure.measurements names code" in capsys.readouterr().err
        for path, message in (("norms:norms", "is a function; a measurement is a"), ("norms:NONE", "cannot import")):
            with pytest.raises(UserError, match=message):
                repro.measure(network, images, measurements=[path])
    finally:
        MEASUREMENTS.pop("norms", None)


@pytest.mark.slow
def test_a_study_of_ones_own(folder: Path) -> None:
    study = commands("your-own.md")[-1]
    assert run(["study", "plan", *study[2:]]) == 0
    assert run(study) == 0
    runs = find_runs(["runs"])
    assert {each.study for each in runs} == {"width"}
    assert len(runs) == 2
    assert all(each.status == "finished" for each in runs)
    (table,) = Path("runs").rglob("tables.md")
    text = table.read_text(encoding="utf-8")
    assert "paper" not in text
    assert "full" not in text
