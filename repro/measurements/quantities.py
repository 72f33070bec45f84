"""What claims, rules, papers' values and tables may speak of: each quantity's name, in words, and its value of a run.

Those of training are here; those of measurements are where each measurement is (`repro.measurements.description`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from repro.errors import unknown
from repro.measurements import MEASUREMENTS

if TYPE_CHECKING:
    import pandas as pd


@runtime_checkable
class Records(Protocol):
    """A run's records, as `repro.figures.RunRecords` holds them."""

    @property
    def readings(self) -> pd.DataFrame:
        """Columns step, epoch, measurement, layer, name, mode, quantity, value."""

    def series(self, *names: str) -> tuple[Any, Any]:
        """Steps and values of the first of these metrics that was recorded."""


TRAINS = 2
"""A run trains whose final training accuracy is at least so many times chance."""

_OF_TRAINING = {
    "train_accuracy": "training accuracy (%)",
    "test_accuracy": "test accuracy (%)",
    "trained": "trained, to twice chance or more (1 or 0)",
    "train_loss": "training cross-entropy",
    "test_loss": "test cross-entropy",
    "largest_loss": "largest cross-entropy of a training batch, over training",
    "largest_objective": "largest objective (with the L2 penalty) of a training batch, over training",
    "seconds": "seconds",
}
_SO_FAR = {
    "step": "",
    "train_accuracy": "train/accuracy",
    "train_loss": "train/cross_entropy",
    "validation_accuracy": "validation/accuracy",
    "validation_loss": "validation/cross_entropy",
    "test_accuracy": "test/accuracy",
    "test_loss": "test/cross_entropy",
    "largest_loss": "",
    "largest_objective": "",
}
"""What is known while a run goes on, with the metric that it is the last value of: over training images an epoch's."""
_LAYER = re.compile(r"(\w+)\[([0-9]+)\]")


def names() -> dict[str, str]:
    """Every quantity in words, with a ``{}`` where one of a layer, written ``weights_kappa[108]``, has its number.

    Of a whole run: accuracies and losses after the final epoch, κ at the last measurement.
    """
    measured = [quantity.words for measurement in MEASUREMENTS.values() for quantity in measurement.all_quantities]
    return {name: words for of_some in (_OF_TRAINING, *measured) for name, words in of_some.items()}


def by_measurement() -> dict[str, list[str]]:
    """The names that each measurement gives, with ``[LAYER]`` where a layer's number stands."""
    return {
        measurement.name: [
            f"{name}[LAYER]" if "{}" in words else name
            for quantity in measurement.all_quantities
            for name, words in quantity.words.items()
        ]
        for measurement in MEASUREMENTS.values()
    }


def names_so_far(measured: Collection[str]) -> list[str]:
    """The names of `so_far`'s quantities, given what is measured."""
    return [*_SO_FAR, *(name for kind, names in by_measurement().items() if kind in measured for name in names)]


def so_far(records: Records, step: int) -> dict[str, float]:
    """Every quantity that is known after `step` steps, of the records until then: the last value of each."""
    values = {"step": float(step)}
    for name, metric in _SO_FAR.items():
        _, found = records.series(metric)
        if len(found):
            values[name] = float(found[-1]) * (100 if name.endswith("accuracy") else 1)
    return values | _of_metrics(records) | _of_readings(records)


def in_words(quantity: str) -> str | None:
    """What a quantity's name stands for; None for no quantity's name."""
    match = _LAYER.fullmatch(quantity)
    words = names().get(match[1] if match else quantity)
    if words is None or ("{}" in words) != bool(match):
        return None
    return words.format(match[2]) if match else words


def check(quantity: str, where: str) -> None:
    """Refuse what is no quantity's name, naming those that there are."""
    if in_words(quantity) is None:
        measured = [name for names in by_measurement().values() for name in names]
        raise unknown("quantity", quantity, [*_OF_TRAINING, *measured], extra=where)


def quantities(
    final: Mapping[str, float],
    seconds: float | None,
    records: Records | None,
    *,
    classes: int | None = None,
    diverged: bool = False,
) -> dict[str, float]:
    """Every quantity that a run's records suffice for, accuracies in per cent.

    Args:
        final: Accuracies (fractions) and cross-entropies over whole sets after the final epoch.
        seconds: How long the run took.
        records: Its metrics and readings.
        classes: Number of classes, for what is told by chance.
        diverged: Whether it ended since its loss was not finite: it has nothing that speaks of an end.
    """
    values: dict[str, float] = {}
    for subset in ("train", "test"):
        if (accuracy := final.get(f"{subset}_accuracy")) is not None:
            values[f"{subset}_accuracy"] = 100 * accuracy
        if (loss := final.get(f"{subset}_cross_entropy")) is not None:
            values[f"{subset}_loss"] = loss
    if seconds is not None:
        values["seconds"] = seconds
    if diverged:
        values["trained"] = 0.0
    elif classes and "train_accuracy" in values:
        values["trained"] = float(values["train_accuracy"] >= TRAINS * 100 / classes)
    recorded = {} if records is None else _of_metrics(records) | _of_readings(records)
    if diverged:
        recorded = {name: value for name, value in recorded.items() if "over training" in (in_words(name) or "")}
    return values | recorded


def _of_metrics(records: Records) -> dict[str, float]:
    largest = {}
    for name, metric in (("largest_loss", "cross_entropy"), ("largest_objective", "objective")):
        _, values = records.series(f"train/largest_{metric}", f"step/{metric}")  # older records have only some steps
        if len(values):
            largest[name] = float(values.max())  # NaN if any is
    return largest


def _of_readings(records: Records) -> dict[str, float]:
    values: dict[str, float] = {}
    taken = set(records.readings["measurement"].unique())
    for name in [name for name in MEASUREMENTS if name in taken]:
        rows = records.readings[records.readings["measurement"] == name]
        for quantity in MEASUREMENTS[name].all_quantities:
            values |= quantity.values(rows)
    return values
