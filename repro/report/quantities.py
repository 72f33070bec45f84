"""The numbers of one run that claims, paper values and tables speak of (`repro.studies.quantities`)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from repro.figures import RunRecords, kappa

_FORMS = {name: (name, "headline") for name in ("weights", "representations", "gradients", "updates", "errors")}
_FORMS |= {"matrix": ("representations", "matrix"), "errors_matrix": ("errors", "matrix")}
_MEDIANS = {
    "bound_median": ("amplification", "matrix", "bound"),
    "distance_median": ("distance", "first", "relative_distance"),
    "likeness_median": ("distance", "first", "cka"),
}


def quantities(final: Mapping[str, float], seconds: float | None, records: RunRecords | None) -> dict[str, float]:
    """Every quantity that a run's records suffice for, accuracies in per cent.

    Args:
        final: Accuracies (fractions) and cross-entropies over whole sets after the final epoch.
        seconds: How long the run took.
        records: Its metrics and readings.
    """
    found: dict[str, float] = {}
    for subset in ("train", "test"):
        if (accuracy := final.get(f"{subset}_accuracy")) is not None:
            found[f"{subset}_accuracy"] = 100 * accuracy
        if (loss := final.get(f"{subset}_cross_entropy")) is not None:
            found[f"{subset}_loss"] = loss
    if seconds is not None:
        found["seconds"] = seconds
    if records is not None:
        readings = records.readings
        found |= _of_metrics(records) | _of_readings(readings) | _of_distributions(readings) | _medians(readings)
        found |= _of_diagonals(readings)
    return found


def _of_metrics(records: RunRecords) -> dict[str, float]:
    found = {}
    for name, metric in (("largest_loss", "cross_entropy"), ("largest_objective", "objective")):
        _, values = records.series(f"train/largest_{metric}", f"step/{metric}")  # older records have only some steps
        if len(values):
            found[name] = float(values.max())  # NaN if any is
    return found


def _of_readings(readings: pd.DataFrame) -> dict[str, float]:
    """Condition numbers at the last measurement, and how the first layer's weights have grown."""
    found: dict[str, float] = {}
    growth = kappa.first_layer_growth(readings)
    if growth is not None:
        found["first_layer_growth"] = growth
        found["first_layer_weights"] = float(kappa.first_layer(readings)["sigma_max"].iloc[-1])
    for name, (measurement, form) in _FORMS.items():
        values = kappa.last_by_layer(readings, measurement, form=form)
        if not len(values):
            continue
        infinite = values[np.isinf(values)]
        found[f"{name}_infinite"] = float(len(infinite))
        if name == "representations":
            below = infinite.index[infinite.index < values.index.max()]  # the last one is pooled to a vector an image
            found["representations_infinite_to"] = float(below.max()) if len(below) else 0.0
        found[f"{name}_median"] = float(values.median(skipna=False))
        if values.notna().all() and (values != values.iloc[0]).any():
            found[f"{name}_trend"] = _rank_correlation(values)
        found |= {f"{name}_kappa[{layer}]": float(value) for layer, value in values.items()}
    return found


def _medians(readings: pd.DataFrame) -> dict[str, float]:
    """Over the representations of a network, the input and the one that is compared with left out, at the end."""
    found = {}
    for name, (measurement, mode, quantity) in _MEDIANS.items():
        rows = readings[(readings["measurement"] == measurement) & (readings["mode"] == mode)]
        rows = rows[(rows["quantity"] == quantity) & (rows["layer"] >= (2 if mode == "first" else 1))]
        if len(rows):
            last = rows[rows["step"] == rows["step"].max()]
            found[name] = float(last["value"].median(skipna=False))
    return found


def _of_diagonals(readings: pd.DataFrame) -> dict[str, float]:
    """How far a DiracNet's diagonals are from 1 at the end, and how many times as far as at the first measurement."""
    rows = readings[(readings["measurement"] == "diagonals") & (readings["quantity"] == "relative_distance")]
    medians = rows.groupby("step")["value"].median()
    medians = medians[medians.index > 0]
    found = {"diagonals_median": float(medians.iloc[-1])} if len(medians) else {}
    if len(medians) and medians.iloc[0] > 0:  # held at 1 they do not move
        found["diagonals_growth"] = float(medians.iloc[-1] / medians.iloc[0])
    return found


def _rank_correlation(values: pd.Series[float]) -> float:
    """Spearman's, of values with their index; infinite values are ties above all others."""
    return float(np.corrcoef(values.rank(), values.index.to_series().rank())[0, 1])


def _of_distributions(readings: pd.DataFrame) -> dict[str, float]:
    rows = readings[readings["measurement"] == "distributions"]
    rows = rows[rows["quantity"].isin(["p0", "p1", "p99", "p100"])]
    found: dict[str, float] = {}
    for (layer, kind), of_tensor in rows.groupby(["layer", "mode"], observed=True):
        table = of_tensor.pivot_table(index="step", columns="quantity", values="value", dropna=False, observed=True)
        magnitudes = table.abs()
        extremes = magnitudes[["p0", "p100"]].max(axis=1)
        found[f"{kind}_extreme[{layer}]"] = float(extremes.max())
        found[f"{kind}_final[{layer}]"] = float(extremes.iloc[-1])
        found[f"{kind}_most[{layer}]"] = float(magnitudes[["p1", "p99"]].max(axis=1).max())
    return found
