from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from repro.config import Config, from_mapping, to_yaml
from repro.records import RunDirectory

RunFactory = Callable[..., RunDirectory]


@pytest.fixture
def run(tmp_path: Path) -> RunFactory:
    """Writes a small run directory: three epochs of four steps, three layers, measured before and at epoch ends."""

    def write(
        name: str,
        *,
        folder: str = "runs/demo",
        network: str = "resnet20",
        seed: int = 0,
        status: str | None = "finished",
        step: int = 12,
        final: Mapping[str, float] | None = None,
        growth: float = 2.0,
        loss: float = 0.5,
        channel: float = 30.0,
        sigma_min: float = 0.0,
        seconds: float = 84.25,
    ) -> RunDirectory:
        config: Config = from_mapping({"model": {"network": network}, "seed": seed})
        directory = RunDirectory.prepare(tmp_path / folder / name, to_yaml(config))
        directory.add_life(
            {
                "started": "2025-01-02T03:04:05+00:00",
                "host": "some-host",
                "versions": {"python": "3.11.2", "torch": "2.15.0"},
                "commit": "0123456789abcdef",
                "dirty": True,
                "device": "cpu",
                "command": ["repro", "fit", "--seed", str(seed)],
            }
        )
        for at in (0, *range(4, step + 1, 4)):
            factor = growth if at == step else 1.0
            directory.append_readings(
                at, at // 4, [_reading("weights", layer, "output", 10.0 * layer, factor) for layer in (1, 2, 3)]
            )
            directory.append_readings(
                at,
                at // 4,
                [
                    _reading("representations", layer, mode, kappa, 1.0, sigma_min)
                    for layer in (1, 2)
                    for mode, kappa in (("channel", channel), ("matrix", 300.0))
                ],
            )
        for at in range(1, step + 1):
            directory.append_metrics(
                at, at // 4, {"step/cross_entropy": loss, "step/objective": loss + 1, "step/accuracy": 0.5}
            )
            if at % 4 == 0:
                directory.append_metrics(at, at // 4, {"test/cross_entropy": loss, "test/accuracy": 0.5})
        if status is not None:
            ended = {"final": final or _final(0.99, 0.95)} if status in ("finished", "diverged") else {}
            directory.update_state(status=status, step=step, epoch=step // 4, seconds=seconds, **ended)
        return directory

    return write


def _final(train: float, test: float) -> dict[str, float]:
    return {
        "train_accuracy": train,
        "train_cross_entropy": 0.1,
        "test_accuracy": test,
        "test_cross_entropy": math.nan if train < 0.5 else 0.2,
    }


def _reading(
    measurement: str, layer: int, mode: str, kappa: float, sigma_max: float, if_infinite: float = 0.0
) -> dict[str, Any]:
    sigma_min = if_infinite if math.isinf(kappa) else sigma_max / kappa
    values = {"condition_number": kappa, "sigma_max": sigma_max, "sigma_min": sigma_min, "rank": 3.0}
    return {"measurement": measurement, "layer": layer, "name": f"layer{layer}", "mode": mode, "values": values}


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[..., Path]:
    """Writes a study's manifest; cells are (label, seed, run)."""

    def write(*cells: tuple[str, int, str], folder: str = "runs/demo", **changes: Any) -> Path:
        content = {
            "study": "demo",
            "title": "A study",
            "paper": "Oyedotun",
            "artefact": "Table 1",
            "question": "Which of them learn?",
            "preset": "cpu",
            "reduced": True,
            "reductions": ["base width 8 (full size: 16)", "3 epochs (200)"],
            "expected": "All as in the paper.",
            "command": "repro demo --seed 0",
            "paper_values": {"plainnet20": {"train_accuracy": 11.2, "test_accuracy": 11.35}},
            "claims": [],
            "cells": [{"label": label, "seed": seed, "run": run} for label, seed, run in cells],
            **changes,
        }
        path = tmp_path / folder / "manifest.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
        return path.parent

    return write
