from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from repro.figures import RunRecords
from repro.records import RunDirectory

Values = Mapping[int, Sequence[float]]
Factory = Callable[..., RunRecords]


@pytest.fixture
def recorded(tmp_path: Path) -> Factory:
    """Writes a run directory and reads it back; κ is given for each step as one value a layer, from layer 1.

    Where it is infinite, σmin is `sigma_min`: perfectly singular, or not."""

    def write(
        label: str = "plainnet110",
        *,
        weights: Values | None = None,
        channel: Values | None = None,
        matrix: Values | None = None,
        metrics: Mapping[str, Mapping[int, float]] | None = None,
        classes: int | None = None,
        sigma_min: float = 0.0,
        steps_per_epoch: int = 10,
    ) -> RunRecords:
        run = RunDirectory.prepare(tmp_path / f"{label}-{len(list(tmp_path.iterdir()))}", "seed: 0\n")
        of_modes = [
            ("weights", "output", weights),
            ("representations", "channel", channel),
            ("representations", "matrix", matrix),
        ]
        for measurement, mode, by_step in of_modes:
            for step, values in (by_step or {}).items():
                readings = [
                    {
                        "measurement": measurement,
                        "layer": layer,
                        "name": f"layer{layer}",
                        "mode": mode,
                        "values": {
                            "condition_number": value,
                            "sigma_max": math.sqrt(step + 1),
                            "sigma_min": sigma_min if math.isinf(value) else math.sqrt(step + 1) / value,
                        },
                    }
                    for layer, value in enumerate(values, start=1)
                ]
                run.append_readings(step, step // steps_per_epoch + (step > 0), readings)
        for name, of_metric in (metrics or {}).items():
            for step, value in of_metric.items():
                run.append_metrics(step, step // steps_per_epoch, {name: value})
        return RunRecords.read(run, label=label, classes=classes)

    return write
