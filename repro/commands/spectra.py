"""`repro spectra`: what follows from all singular values of a run (``--measure.spectra true``)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from repro.commands.options import Action, Request, argument, command_parser, option
from repro.config import require_name
from repro.errors import UserError
from repro.records import derived, put, spectra, to_csv
from repro.text import shell

if TYPE_CHECKING:
    import pandas as pd


class _Spectra(Request):
    run: Path = argument("a run directory, or a folder of `repro measure --spectra`")
    tolerance: float = option("singular values up to this share of σmax count as zero", default=2.0**-23)
    out: Path | None = option("folder for spectra.csv and a figure of each mode", default=None)


def main(request: _Spectra) -> int:
    """Print medians over the layers at the last measurement; write everything, if a folder is named."""
    path, tolerance, out = request.run, request.tolerance, request.out
    if not 0 <= tolerance < 1:
        raise UserError(f"--tolerance is {tolerance}; allowed: 0 to below 1")
    table, name = spectra(path), path.resolve().name
    if not len(table):
        again = shell("repro", "fit", "--measure.spectra", "true")
        raise UserError(f"'{path}' has no singular values; train it with {again} ...")
    measures = derived(table, tolerance)
    last = measures[(measures["step"] == measures["step"].max()) & (measures["layer"] >= 1)]
    medians = last.groupby(["measurement", "mode"], sort=False).median(numeric_only=True)
    print(f"{name}, step {measures['step'].max():,}: medians over the layers")
    print(medians.drop(columns=["step", "epoch", "layer"]).to_string(float_format=lambda value: f"{value:.4g}"))
    if out is not None:
        _write(path, table, measures, out)
    return 0


parser = partial(
    command_parser, examples=("runs/single/RUN", "runs/single/RUN --out spectra"), actions=Action(_Spectra, main)
)


def _write(path: Path, table: pd.DataFrame, measures: pd.DataFrame, out: Path) -> None:
    from repro.figures import to_svg
    from repro.figures.spectrum import spectrum

    kinds = list(table[["measurement", "mode"]].drop_duplicates().itertuples(index=False, name=None))
    for measurement, mode in kinds:  # a file's name
        require_name(f"{measurement}-{mode}", f"a measurement with its mode in '{path}'")
    name = path.resolve().name
    drawn = {
        f"figures/{measurement}-{mode}.svg": to_svg(spectrum({name: table}, measurement, mode)).encode()
        for measurement, mode in kinds
    }
    put({"spectra.csv": to_csv(measures).encode(), **drawn}, out)
    print(f"{len(measures):,} spectra: {out}/spectra.csv, figures/")
