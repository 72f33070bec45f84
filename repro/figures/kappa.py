"""Which recorded condition number is quoted: the rule that figures, tables and the page share."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

KEY = ["step", "layer"]
MODES = {
    **dict.fromkeys(("weights", "gradients", "updates"), ("output", "input")),
    **dict.fromkeys(("representations", "outputs", "errors"), ("channel", "matrix")),
}
"""The modes that are quoted of each measurement that yields condition numbers."""


def headline_kappa(readings: pd.DataFrame, measurement: str, *, form: str = "headline") -> pd.DataFrame:
    """The condition number κ of every layer at every measured step.

    A weight tensor (and its gradient, and its update) has one κ for each mode; quoted is the largest over the output
    and the input channels. Of a representation (and of a layer's output, and of an error gradient) the channel mode is
    quoted, as in Oyedotun's Fig. 9, 11 and 13; the theorems speak of Definition 2's matrix (``form="matrix"``). A
    representation without a channel mode is a matrix, and its κ stands for both.

    Args:
        readings: A run's readings, as `repro.records.readings` returns them.
        measurement: A name in `MODES`.
        form: ``"headline"``, or ``"matrix"`` for the n x N matrix of a representation.

    Returns:
        Columns step, epoch, layer, name, kappa; sorted by step and layer. κ is infinite where the layer is singular to
        float32, and NaN where it has non-finite entries.
    """
    modes = ["matrix"] if form == "matrix" else MODES[measurement]
    rows = _of(readings, measurement, "condition_number", modes)
    if "output" in modes:
        rows = rows.sort_values("value", na_position="last", kind="stable")  # the largest last, NaN above all
    else:
        rows = rows.sort_values("mode", ascending=False, kind="stable")  # matrix before channel
    rows = rows.drop_duplicates(KEY, keep="last").sort_values(KEY, ignore_index=True)
    return rows.rename(columns={"value": "kappa"})[["step", "epoch", "layer", "name", "kappa"]]


def has(readings: pd.DataFrame, measurement: str) -> bool:
    """Whether `headline_kappa` has a row of a layer, the images themselves left out."""
    return bool((_of(readings, measurement, "condition_number", MODES[measurement])["layer"] >= 1).any())


def first_layer(readings: pd.DataFrame) -> pd.DataFrame:
    """σmax of the first layer's weights, the largest over its modes, by step: columns step, epoch, sigma_max."""
    rows = _of(readings, "weights", "sigma_max", ["output", "input"])
    rows = rows[rows["layer"] == 1].sort_values("value", na_position="last", kind="stable")
    rows = rows.drop_duplicates("step", keep="last").sort_values("step", ignore_index=True)
    return rows.rename(columns={"value": "sigma_max"})[["step", "epoch", "sigma_max"]]


def first_layer_growth(readings: pd.DataFrame) -> float | None:
    """How many times σmax of the first layer's weights has grown from step 0 to the last measurement.

    None if it was not measured before training and once more.
    """
    rows = first_layer(readings)
    if len(rows) < 2 or rows["step"].iloc[0] != 0:
        return None
    return float(rows["sigma_max"].iloc[-1] / rows["sigma_max"].iloc[0])


def last_by_layer(readings: pd.DataFrame, measurement: str, *, form: str = "headline") -> pd.Series[float]:
    """The quoted κ at the last measurement by layer (from 1: the images themselves are left out)."""
    table = headline_kappa(readings, measurement, form=form)
    last = table[(table["layer"] >= 1) & (table["step"] == table["step"].max())]
    by_layer: pd.Series[float] = last.set_index("layer")["kappa"]
    return by_layer


def _of(readings: pd.DataFrame, measurement: str, quantity: str, modes: Sequence[str]) -> pd.DataFrame:
    wanted = (readings["measurement"] == measurement) & (readings["quantity"] == quantity)
    return readings[wanted & readings["mode"].isin(modes)]
