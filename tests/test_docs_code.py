"""The code in the documents runs as it is written."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import repro
from repro.records import RunDirectory

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
