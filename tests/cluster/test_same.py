"""Two runs are the same bit for bit, or what differs is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from repro.cluster.rehearsal.same import differences
from repro.records import RunDirectory

CONTENT: dict[str, Any] = {
    "state_dict": {"weight": torch.arange(3.0)},
    "optimizer_states": [{"state": {0: {"momentum_buffer": torch.ones(2)}}}],
    "lr_schedulers": [{"last_epoch": 4}],
    "generators": [{"python": [3, torch.arange(4), None], "device": None}],
    "callbacks": {"when": 1.5},
}


def run(path: Path, content: dict[str, Any], value: float = 0.5) -> RunDirectory:
    made = RunDirectory.prepare(path, "{}")
    torch.save(content, made.checkpoints / "step-00000004.ckpt")
    made.append_metrics(4, 0, {"loss": value})
    made.append_readings(4, 1, [])
    made.update_state(status="finished", final={"accuracy": 0.25})
    return made


def changed(key: str, change: Any) -> dict[str, Any]:
    return {**CONTENT, key: change}


@pytest.mark.parametrize(
    ("content", "value", "named"),
    [
        (CONTENT, 0.5, []),
        (changed("callbacks", {"when": 2.5}), 0.5, []),  # when it was written, and how long it took
        (changed("state_dict", {"weight": torch.tensor([0.0, 1.0, 2.0000002])}), 0.5, ["state_dict.weight"]),
        (changed("state_dict", {"weight": torch.arange(3)}), 0.5, ["state_dict.weight"]),
        (changed("optimizer_states", []), 0.5, ["optimizer_states"]),
        (
            changed("generators", [{"python": [3, torch.arange(4), 1.0], "device": None}]),
            0.5,
            ["generators.0.python.2"],
        ),
        (CONTENT, 0.25, ["metrics"]),
    ],
)
def test_what_differs_is_named(content: dict[str, Any], value: float, named: list[str], tmp_path: Path) -> None:
    assert differences(run(tmp_path / "one", content, value), run(tmp_path / "other", CONTENT)) == named


def test_final_numbers_count(tmp_path: Path) -> None:
    one, other = run(tmp_path / "one", CONTENT), run(tmp_path / "other", CONTENT)
    state = json.loads((one.path / "state.json").read_text())
    (one.path / "state.json").write_text(json.dumps({**state, "final": {"accuracy": 0.26}}))
    assert differences(one, other) == ["final numbers"]
