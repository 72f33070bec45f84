"""Which recorded condition number stands for a layer: the rule that figures, tables, W&B and the page share.

An infinite one is of two kinds: `SINGULAR`, numerically perfect, where σmin ≤ 1e-12 σmax, and `BEYOND`, beyond the
precision of float32 (κ over 8.4e6), where the readings have a σmin that is not that small.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from repro.measurements.description import Quantities

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

KEY = ["step", "layer"]
PERFECT = 1e-12
"""σmin/σmax up to which an infinite κ is perfectly singular; what float64 arithmetic leaves of a zero is less."""
PERFECTLY = "perfectly singular (σmin/σmax ≤ 1e-12)"
OVER = "beyond float32 (κ > 8.4e6)"
SINGULAR, BEYOND, FINITE, NON_FINITE = "singular", "beyond float32", "finite", "non-finite"


@dataclass(frozen=True, kw_only=True)
class Kappa:
    """One condition number κ for every layer, of one measurement.

    A weight tensor (and its gradient, and its update) has one κ for each mode; the largest over the output and the
    input channels stands for the layer. Of a representation (and of a layer's output, and of an error gradient) it is
    that of the channel mode, which resembles Oyedotun's Fig. 9 (they name HOSVD and no mode); the theorems speak of
    Definition 2's matrix. A representation without a channel mode is a matrix, and its κ stands for both.
    """

    measurement: str
    modes: tuple[str, ...]
    largest: bool = False
    """Whether κ is the largest over `modes`; otherwise it is that of the first of them that a layer has."""
    key: str
    """Prefix of its names in claims: ``weights`` in ``weights_median`` and ``weights_kappa[108]``."""
    words: Mapping[str, str]
    """Describes the quantities of ``_values`` by name, with a ``{}`` for the layer in ``kappa``; see `in_words`."""
    title: str
    """Title of the panel that shows it."""
    found: str = "At the last measurement"
    """Beginning of the sentence that says where κ is infinite."""
    x: str = "layer, from the input"

    def table(self, readings: pd.DataFrame) -> pd.DataFrame:
        """κ of every layer at every measured step: step, epoch, layer, name, mode, kappa and its `kind`.

        Sorted by step and layer.
        """
        readings = readings[(readings["measurement"] == self.measurement) & readings["mode"].isin(self.modes)]
        rows = readings.assign(kind=kind(readings))
        rows = rows[rows["quantity"] == "condition_number"]
        if self.largest:  # the largest last, perfect singularity above beyond float32, NaN above all
            rows = rows.assign(perfect=rows["kind"] == SINGULAR).sort_values(["value", "perfect"], na_position="last")
        else:
            ranks = {mode: -rank for rank, mode in enumerate(self.modes)}
            rows = rows.sort_values("mode", key=lambda modes: modes.astype(object).map(ranks), kind="stable")
        rows = rows.drop_duplicates(KEY, keep="last").sort_values(KEY, ignore_index=True)
        columns = ["step", "epoch", "layer", "name", "mode", "kappa", "kind"]
        return rows.rename(columns={"value": "kappa"})[columns]

    def has(self, readings: pd.DataFrame) -> bool:
        """Whether `table` has a row of any layer; the images themselves do not count."""
        return bool((_of(readings, self.measurement, "condition_number", self.modes)["layer"] >= 1).any())

    @cached_property
    def quantities(self) -> Quantities:
        """The quantities that claims may name."""
        return Quantities(words={f"{self.key}_{name}": text for name, text in self.words.items()}, values=self._values)

    def _values(self, readings: pd.DataFrame) -> dict[str, float]:
        steps = _of(readings, self.measurement, "condition_number", self.modes)["step"]
        last = at_end(self.table(readings[readings["step"] == steps.max()]))
        if not len(last):
            return {}
        values, kinds = last["kappa"], last["kind"].value_counts()
        infinite = values[values.abs() == math.inf]
        below = infinite.index[infinite.index < values.index.max()]  # the last one is pooled to a vector an image
        quantities = {
            "infinite": float(len(infinite)),
            "singular": float(kinds.get(SINGULAR, 0)),
            "beyond_float32": float(kinds.get(BEYOND, 0)),
            "infinite_to": float(below.max()) if len(below) else 0.0,
            "median": float(values.median(skipna=False)),
        }
        if values.notna().all() and (values != values.iloc[0]).any():
            quantities["trend"] = _rank_correlation(values)
        of_layers = {f"{self.key}_kappa[{layer}]": float(value) for layer, value in values.items()}
        return {f"{self.key}_{name}": value for name, value in quantities.items() if name in self.words} | of_layers


def at_end(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a `Kappa.table` at the last measurement by layer, from 1."""
    rows: pd.DataFrame = table[(table["layer"] >= 1) & (table["step"] == table["step"].max())]
    return rows.set_index("layer")


def kind(readings: pd.DataFrame) -> pd.Series[str]:
    """Of every row that is a κ, what it is: singular, beyond float32, finite, or non-finite in its entries."""
    import numpy as np
    import pandas as pd

    kinds = np.full(len(readings), "", dtype=object)
    rows = (readings["quantity"] == "condition_number").to_numpy()
    kappa = readings["value"].to_numpy(float)[rows]
    kinds[rows] = np.select([np.isnan(kappa), np.isfinite(kappa)], [NON_FINITE, FINITE], BEYOND)
    if (infinite := np.flatnonzero(kinds == BEYOND)).size:
        key = [name for name in ("step", "measurement", "layer", "mode") if name in readings]
        places = _places(readings.iloc[infinite], key)
        sigma_min, sigma_max = (_at(places, readings[readings["quantity"] == name], key) for name in _SIGMAS)
        kinds[infinite[sigma_min <= PERFECT * sigma_max]] = SINGULAR
    return pd.Series(kinds, readings.index)


_SIGMAS = ("sigma_min", "sigma_max")


def _places(readings: pd.DataFrame, key: list[str]) -> list[tuple[object, ...]]:
    return list(zip(*(readings[name] for name in key), strict=True))


def _at(places: list[tuple[object, ...]], readings: pd.DataFrame, key: list[str]) -> np.ndarray:
    """The value at each place, the last of several; NaN where there is none."""
    import numpy as np

    values = dict(zip(_places(readings, key), readings["value"], strict=True))
    return np.array([values.get(place, math.nan) for place in places])


def in_words(of: str, of_layer: str) -> dict[str, str]:
    """The descriptions for `Kappa.words`."""
    return {
        "infinite": f"how many of {of} have infinite κ",
        "singular": f"how many of {of} are {PERFECTLY}",
        "beyond_float32": f"how many of {of} have infinite κ but are not {PERFECTLY}",
        "median": f"median κ of {of}",
        "trend": f"rank correlation of the κ of {of} with depth",
        "kappa": of_layer,
    }


def first_layer(readings: pd.DataFrame) -> pd.DataFrame:
    """σmax of the first layer's weights, the largest over its modes, by step: columns step, epoch, sigma_max."""
    rows = _of(readings, "weights", "sigma_max", ("output", "input"))
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


def _rank_correlation(values: pd.Series[float]) -> float:
    """Spearman's rank correlation of values with their index; infinite values are ties above all others."""
    return float(values.rank().corr(values.index.to_series().rank()))


def _of(readings: pd.DataFrame, measurement: str, quantity: str, modes: tuple[str, ...]) -> pd.DataFrame:
    wanted = (readings["measurement"] == measurement) & (readings["quantity"] == quantity)
    return readings[wanted & readings["mode"].isin(modes)]
