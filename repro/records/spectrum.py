"""All singular values of a run, and what follows from them.

They stand in ``spectra.jsonl``, a line for each layer, mode and time, written and read as ``readings.jsonl`` is: lines
are appended, a torn one is left out, and of two for the same key, as after a resume, the later wins. The values are
float32, their bytes sorted by significance, deflated, in base 64. Parquet and npz keep an index at their end: neither
can be appended to without writing it anew, and a torn end loses the whole.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.errors import Damaged
from repro.records import form
from repro.records.files import append_lines, stored
from repro.records.run_directory import RunDirectory

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

COLUMNS = ["step", "epoch", "measurement", "layer", "name", "mode", "singular_values"]
FILE = "spectra.jsonl"
_MOST = 2**28
"""Bytes of one spectrum at most: a stranger's file may promise more than memory holds."""


def append_spectra(run: RunDirectory, step: int, epoch: int, spectra: Iterable[Mapping[str, Any]]) -> None:
    """Record singular values after `step` optimiser steps; nothing if there are none."""
    if records := list(lines(step, epoch, spectra)):
        append_lines(run.path / FILE, records)


def lines(step: int, epoch: int, spectra: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The records of singular values after `step` optimiser steps."""
    for row in spectra:
        yield {"step": step, "epoch": epoch, **row, "singular_values": pack(row["singular_values"])}


def spectra(run: RunDirectory | str | Path, measurements: Collection[str] | None = None) -> pd.DataFrame:
    """Read the spectra of a run: step, epoch, measurement, layer, name, mode, and all singular values as an array.

    Args:
        run: One that was trained with ``--measure.spectra true``, or a folder of ``repro measure --spectra``; without
            such a file the table is empty.
        measurements: Names of the measurements to read; all if None.

    Raises:
        UserError: There is no such run, or a record is of another form.

    Example:
        >>> frame = spectra("runs/single/RUN")
        >>> sorted(set(frame["measurement"]))
        ['representations', 'weights']
    """
    import pandas as pd

    folder = run.path if isinstance(run, RunDirectory) else Path(run)
    if not (folder / FILE).is_file():
        folder = RunDirectory.at(run).path
    path = stored(folder / FILE)
    rows = []
    for line in form.lines(path, form.SPECTRA):
        if measurements is None or line["measurement"] in measurements:
            try:
                rows.append([*(line[name] for name in COLUMNS[:-1]), _ordered(unpack(line["singular_values"]))])
            except (ValueError, zlib.error) as error:
                where = f"the spectrum of {line['measurement']}, layer {line['layer']}, step {line['step']}"
                raise Damaged(f"'{path}' is damaged: {where} ({error}); restore it, or move the run away") from error
    table = pd.DataFrame(rows, columns=COLUMNS)
    table = table.drop_duplicates(["step", "measurement", "layer", "mode"], keep="last")
    return table.sort_values("step", kind="stable", ignore_index=True)


def pack(values: np.ndarray) -> str:
    """Singular values as text."""
    import numpy as np

    parts = np.ascontiguousarray(values, "<f4").view(np.uint8).reshape(-1, 4).T
    return base64.b64encode(zlib.compress(parts.tobytes(), 6)).decode()


def unpack(text: str) -> np.ndarray:
    """The values that `pack` made a text of, as float32."""
    import numpy as np

    deflated = zlib.decompressobj()
    content = deflated.decompress(base64.b64decode(text), _MOST)
    if not deflated.eof:
        raise ValueError("torn, or too long")
    parts = np.frombuffer(content, np.uint8)
    return np.ascontiguousarray(parts.reshape(4, -1).T).view("<f4").ravel().astype(np.float32)


def _ordered(values: np.ndarray) -> np.ndarray:
    """Values as every measurement gives them; `ValueError` for others, of which all that follows would be wrong."""
    import numpy as np

    descending = not len(values) or bool((values[:-1] >= values[1:]).all() and values[-1] >= 0)
    if not descending and not np.isnan(values).all():
        raise ValueError("its values do not go down from the largest to 0 or more")
    return values


def stable_rank(values: np.ndarray) -> float:
    """Sum of the squared singular values over the largest squared: between 1 and the rank."""
    squares = _squares(values)
    return float(squares.sum())


def effective_rank(values: np.ndarray) -> float:
    """The exponential of the entropy of the singular values over their sum (Roy and Vetterli 2007)."""
    import numpy as np

    shares = _squares(values) ** 0.5
    shares = shares / shares.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def participation_ratio(values: np.ndarray) -> float:
    """(Σ σ²)² / Σ σ⁴: in how many directions the energy lies."""
    squares = _squares(values)
    return float(squares.sum() ** 2 / (squares**2).sum())


def condition_number(values: np.ndarray, tolerance: float = 2.0**-23) -> float:
    """The largest over the smallest singular value, infinite where that is at most `tolerance` times the largest."""
    import numpy as np

    largest, smallest = float(values[0]), float(values[-1])
    return float("inf") if smallest <= tolerance * largest else float(np.divide(largest, smallest))


def derived(table: pd.DataFrame, tolerance: float = 2.0**-23) -> pd.DataFrame:
    """Compute κ, rank, stable rank, effective rank and participation ratio of every spectrum.

    The formulas are in docs/measurements.md. κ and rank have the precision of float32, in which singular values are
    kept. All are NaN where values are not finite or there are none.

    Args:
        table: As `spectra` returns it.
        tolerance: Singular values up to tolerance · σmax count as zero.

    Returns:
        The table with these five columns in place of the singular values.

    Example:
        >>> frame = derived(spectra("runs/single/RUN"))
        >>> bool((frame["stable_rank"] <= frame["rank"]).all())
        True
    """

    def of(values: np.ndarray) -> dict[str, float]:
        if not len(values) or not values[0] < float("inf"):  # a layer with NaN has nothing else
            return dict.fromkeys(_NAMES, float("nan"))
        numbers = [condition_number(values, tolerance), float((values > tolerance * values[0]).sum())]
        of_all = (stable_rank, effective_rank, participation_ratio)
        return dict(zip(_NAMES, [*numbers, *(rank(values) if values[0] else 0.0 for rank in of_all)], strict=True))

    import pandas as pd

    quantities = pd.DataFrame([of(values) for values in table["singular_values"]], columns=_NAMES, index=table.index)
    return pd.concat([table[COLUMNS[:-1]], quantities.astype(float)], axis=1)


_NAMES = ["condition_number", "rank", "stable_rank", "effective_rank", "participation_ratio"]


def _squares(values: np.ndarray) -> np.ndarray:
    """The squared values in double precision, scaled so that the largest is 1."""
    scaled = values.astype("float64") / float(values[0])
    squares: np.ndarray = scaled * scaled
    return squares
