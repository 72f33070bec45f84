"""Records read back as long tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.records.files import decode_number
from repro.records.run_directory import RunDirectory
from repro.text import no_formula, printable

if TYPE_CHECKING:
    import pandas as pd

METRIC_COLUMNS = ["step", "epoch", "metric", "value"]
READING_COLUMNS = ["step", "epoch", "measurement", "layer", "name", "mode", "quantity", "value"]


def metrics(run: RunDirectory | str | Path) -> pd.DataFrame:
    """Read the metrics of a run: step, epoch, metric, value. If a step was repeated, its last value counts.

    Args:
        run: A run, or its directory.

    Raises:
        UserError: There is no such run, or its record is damaged.

    Example:
        >>> frame = metrics("runs/single/RUN")
        >>> list(frame.columns), "test/accuracy" in set(frame["metric"])
        (['step', 'epoch', 'metric', 'value'], True)
    """
    import pandas as pd

    rows = [
        (line["step"], line["epoch"], metric, decode_number(value))
        for line in RunDirectory.at(run).metric_lines()
        for metric, value in line["metrics"].items()
    ]
    return _last(pd.DataFrame(rows, columns=METRIC_COLUMNS), ["step", "metric"])


def readings(run: RunDirectory | str | Path) -> pd.DataFrame:
    """Read the readings of a run: step, epoch, measurement, layer, name, mode, quantity, value.

    Epoch 0 is before training, then 1, 2, ... If a step was repeated, its last values count.

    Args:
        run: A run, or its directory.

    Raises:
        UserError: There is no such run, or its record is damaged.

    Example:
        >>> frame = readings("runs/single/RUN")
        >>> sorted(set(frame.query("measurement == 'weights' and quantity == 'condition_number'")["layer"]))
        [1, 2]
    """
    import pandas as pd

    rows = [
        (
            line["step"],
            line["epochs"],
            line["measurement"],
            line["layer"],
            line["name"],
            line["mode"],
            quantity,
            decode_number(value),
        )
        for line in RunDirectory.at(run).reading_lines()
        for quantity, value in line["values"].items()
    ]
    return _last(pd.DataFrame(rows, columns=READING_COLUMNS), ["step", "measurement", "layer", "mode", "quantity"])


def to_csv(table: pd.DataFrame) -> str:
    """A table without its index as CSV; names in it, which may be a stranger's, are no formulas."""
    plain = table.map(_plain).rename(columns=_plain)
    return str(plain.to_csv(index=False))


def _plain(cell: Any) -> Any:
    return no_formula(printable(cell, keep="\n\t")) if isinstance(cell, str) else cell


def _last(table: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    table = table.drop_duplicates(key, keep="last").sort_values("step", kind="stable", ignore_index=True)
    return table.astype({"value": float})
