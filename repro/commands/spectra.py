"""`repro spectra`: what follows from all singular values of a run (``--measure.spectra true``)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from repro.errors import UserError
from repro.records import RunDirectory, derived, spectra
from repro.text import shell

if TYPE_CHECKING:
    import pandas as pd


def main(arguments: Sequence[str], parser: argparse.ArgumentParser) -> int:
    """Run ``repro spectra RUN ...``."""
    parser.add_argument("run", type=Path, help="a run directory")
    parser.add_argument(
        "--tolerance", type=float, default=2.0**-23, help="size over σmax up to which σ is zero (default: 1.2e-7)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for spectra.csv and a figure of each mode")
    given = parser.parse_args(arguments)
    return show(given.run, given.tolerance, given.out)


def show(path: Path, tolerance: float, out: Path | None) -> int:
    """Print medians over the layers at the last measurement; write everything, if a folder is named."""
    if not 0 <= tolerance < 1:
        raise UserError(f"--tolerance is {tolerance}; allowed: 0 to below 1")
    run = RunDirectory.open(path)
    table = spectra(run)
    if not len(table):
        again = shell("repro", "fit", "--measure.spectra", "true")
        raise UserError(f"'{path}' kept no singular values; train it with {again} ...")
    found = derived(table, tolerance)
    last = found[(found["step"] == found["step"].max()) & (found["layer"] >= 1)]
    medians = last.groupby(["measurement", "mode"], sort=False).median(numeric_only=True)
    print(f"{run.name}, step {found['step'].max():,}: medians over the layers")
    print(medians.drop(columns=["step", "epoch", "layer"]).to_string(float_format=lambda value: f"{value:.4g}"))
    if out is not None:
        _write(run.name, table, found, out)
    return 0


def _write(name: str, table: pd.DataFrame, found: pd.DataFrame, out: Path) -> None:
    from repro.figures import to_svg
    from repro.figures.spectrum import spectrum

    try:
        (out / "figures").mkdir(parents=True, exist_ok=True)
        found.to_csv(out / "spectra.csv", index=False)
        for measurement, mode in table[["measurement", "mode"]].drop_duplicates().itertuples(index=False):
            figure = to_svg(spectrum(name, table, measurement, mode))
            (out / "figures" / f"{measurement}-{mode}.svg").write_text(figure, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write to '{out}': {error.strerror}; name another folder with --out") from error
    print(f"{len(found):,} spectra: {out}/spectra.csv, figures/")
