from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from repro.figures import RunRecords
from repro.measurements.kinds.distributions import describe
from repro.measurements.quantities import in_words, names, quantities
from repro.records.tables import METRIC_COLUMNS


def kappas(measurement: str, mode: str, values: list[float], *, step: int = 8) -> list[dict[str, Any]]:
    shared = {"step": step, "epoch": 1, "measurement": measurement, "mode": mode, "quantity": "condition_number"}
    return [{**shared, "layer": layer, "name": f"l{layer}", "value": value} for layer, value in enumerate(values, 1)]


def records(rows: list[dict[str, Any]], metrics: list[tuple[int, str, float]] = []) -> RunRecords:  # noqa: B006
    table = pd.DataFrame([(step, 0, name, value) for step, name, value in metrics], columns=METRIC_COLUMNS)
    columns = ["step", "epoch", "measurement", "layer", "name", "mode", "quantity", "value"]
    return RunRecords(label="a", metrics=table, readings=pd.DataFrame(rows, columns=columns))


def test_the_pooled_representation_is_not_the_last_infinite_one() -> None:
    for values, last in (([math.inf, 2.0, math.inf], 1), ([3.0, 2.0, math.inf], 0), ([3.0, math.inf, 2.0], 2)):
        found = quantities({}, None, records(kappas("representations", "channel", values)))
        assert found["representations_infinite_to"] == last


def test_diagonals_at_the_end_and_over_the_training() -> None:
    def moved(step: int, *values: float) -> list[dict[str, Any]]:
        rows = kappas("diagonals", "", list(values), step=step)
        return [{**row, "quantity": "relative_distance"} for row in rows]

    found = quantities({}, None, records([*moved(0, 0, 0, 0), *moved(4, 1, 2, 9), *moved(8, 3, 3, 1)]))
    assert (found["diagonals_median"], found["diagonals_growth"]) == (3, 1.5)
    held = quantities({}, None, records([*moved(0, 0.0), *moved(4, 0.0)]))
    assert held["diagonals_median"] == 0
    assert "diagonals_growth" not in held


def test_condition_numbers_by_layer_and_over_depth() -> None:
    channel = [math.inf, 900.0, math.inf, 50.0, 20.0]
    weights = [3.0, 5.0, 4.0, 9.0, 8.0]
    found = quantities(
        {},
        None,
        records(
            [
                *kappas("weights", "output", [2.0] * 5, step=0),  # before training: not the last measurement
                *kappas("weights", "output", weights),
                *kappas("representations", "channel", channel),
                *kappas("representations", "matrix", [7.0] * 5),
            ]
        ),
    )
    assert found["weights_kappa[4]"] == 9.0
    assert found["weights_trend"] == pytest.approx(stats.spearmanr(range(5), weights).statistic)
    assert (found["representations_infinite"], found["representations_infinite_to"]) == (2, 3)
    assert found["representations_kappa[1]"] == math.inf
    finite = [1e9 if math.isinf(value) else value for value in channel]  # ties above all others
    assert found["representations_trend"] == pytest.approx(stats.spearmanr(range(5), finite).statistic)
    assert found["matrix_infinite"] == 0
    assert "matrix_trend" not in found  # the same everywhere
    assert all(in_words(name) for name in found)


def test_gradients_bounds_and_distances() -> None:
    def of(measurement: str, mode: str, quantity: str, values: list[float], step: int = 8) -> list[dict[str, Any]]:
        return [row | {"quantity": quantity} for row in kappas(measurement, mode, values, step=step)]

    rows = [
        *kappas("gradients", "output", [math.inf, 3.0, 2.0]),
        *kappas("gradients", "input", [1.0, math.inf, 4.0]),
        *kappas("updates", "output", [5.0, 6.0, 7.0]),
        *kappas("errors", "channel", [math.inf, 9.0, 9.0]),
        *kappas("errors", "matrix", [math.inf, math.inf, 11.0]),
        *of("amplification", "matrix", "bound", [99.0] * 3, step=0),
        *of("amplification", "matrix", "bound", [3.0, math.inf, 7.0]),
        *of("amplification", "matrix", "relative_change", [0.1] * 3),
        *of("distance", "first", "relative_distance", [0.0, 0.5, 0.75]),
        *of("distance", "first", "cka", [1.0, 0.75, 0.75]),
        *of("distance", "input", "cka", [1.0, 0.5, 0.25]),
        *of("distance", "input", "relative_distance", [9.0, 4.0, 6.0]),
    ]
    found = quantities({}, None, records(rows))
    assert [found[f"{name}_infinite"] for name in ("gradients", "updates", "errors")] == [2, 0, 1]
    assert found["errors_matrix_infinite"] == 2
    assert found["errors_matrix_kappa[3]"] == 11.0
    assert found["gradients_kappa[3]"] == 4.0
    assert found["updates_median"] == 6.0
    assert found["bound_median"] == 7.0
    assert found["likeness_median"] == 0.375, "to the input"
    assert found["distance_input_median"] == 5
    assert found["distance_median"] == 0.625  # the first one's own is left out
    assert all(in_words(name) for name in found)


def test_distributions_over_training_and_at_its_end() -> None:
    import torch

    generator = np.random.default_rng(0)
    tensors = {0: generator.normal(size=500), 4: 100 * generator.normal(size=500) - 30, 8: generator.normal(size=500)}
    rows = [
        {"step": step, "epoch": 0, "measurement": "distributions", "layer": 108, "name": "l", "mode": "weights"}
        | {"quantity": quantity, "value": value}
        for step, entries in tensors.items()
        for quantity, value in describe(torch.from_numpy(entries)).items()
    ]
    found = quantities({}, None, records(rows))
    assert found["weights_extreme[108]"] == np.abs(tensors[4]).max()
    assert found["weights_final[108]"] == np.abs(tensors[8]).max()
    low, high = np.percentile(tensors[4], [1, 99])
    assert found["weights_most[108]"] == pytest.approx(max(-low, high), rel=0.05)
    assert set(found) == {"weights_extreme[108]", "weights_final[108]", "weights_most[108]"}
    assert in_words("weights_most[108]") == (
        "bound on the magnitude of the central 98 % of the weights of layer 108, over training"
    )


def test_losses_and_what_is_not_finite() -> None:
    steps = [(1, "step/cross_entropy", 2.0), (2, "step/cross_entropy", 90.0), (2, "step/objective", math.nan)]
    final = {"train_accuracy": 0.25, "train_cross_entropy": 1.5, "test_cross_entropy": math.nan}
    found = quantities(final, 12.0, records([], steps))
    assert (found["train_accuracy"], found["train_loss"], found["seconds"], found["largest_loss"]) == (25, 1.5, 12, 90)
    assert math.isnan(found["test_loss"])
    assert math.isnan(found["largest_objective"])
    assert set(found) <= set(names())


def test_names_that_mean_nothing() -> None:
    assert in_words("weights_kappa") is None, "of which layer?"
    assert in_words("test_accuracy[3]") is None
    of_layers = [name for name, words in names().items() if "{}" in words]
    assert all("{}" not in str(in_words(f"{name}[3]")) for name in of_layers)


def test_a_network_trained_or_did_not() -> None:
    for accuracy, classes, trained in ((0.2, 10, 1), (0.19, 10, 0), (0.02, 100, 1), (0.019, 100, 0)):
        assert quantities({"train_accuracy": accuracy}, None, None, classes=classes)["trained"] == trained
    assert "trained" not in quantities({"train_accuracy": 0.9}, None, None), "chance is not known"


def test_what_diverged_has_only_what_does_not_speak_of_its_end() -> None:
    """Its last measurement is of before it diverged: not of a trained network."""
    rows = [
        *kappas("weights", "output", [2.0, 5.0], step=0),
        *[
            {**kappas("distributions", "weights", [value], step=0)[0], "quantity": quantity}
            for quantity, value in (("p0", -3.0), ("p1", -1.0), ("p99", 1.0), ("p100", 2.0))
        ],
    ]
    of_training = [(1, "train/largest_cross_entropy", 9.0)]
    found = quantities({}, 3.0, records(rows, of_training), classes=10, diverged=True)
    assert found == {
        "seconds": 3,
        "trained": 0,
        "largest_loss": 9,
        "weights_extreme[1]": 3,
        "weights_most[1]": 1,
    }
    assert {"weights_median", "weights_final[1]"} <= set(quantities({}, 3.0, records(rows, of_training)))
