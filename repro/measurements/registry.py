"""The measurements by name, a line each. Does not import torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from textwrap import fill

from repro.errors import UserError, first_line, unknown
from repro.importing import check_path, load
from repro.measurements.description import FigureSpec, Measurement
from repro.measurements.kinds import (
    condition_numbers,
    curvature,
    dirac,
    distributions,
    geometry,
    operators,
    skip_features,
    skips,
)

MEASUREMENTS: dict[str, Measurement] = {
    "weights": condition_numbers.WEIGHTS,
    "representations": condition_numbers.REPRESENTATIONS,
    "operators": operators.OPERATORS,
    "outputs": condition_numbers.OUTPUTS,
    "gradients": condition_numbers.GRADIENTS,
    "updates": condition_numbers.UPDATES,
    "errors": condition_numbers.ERRORS,
    "curvature": curvature.CURVATURE,
    "distributions": distributions.DISTRIBUTIONS,
    "amplification": geometry.AMPLIFICATION,
    "distance": geometry.DISTANCE,
    "diagonals": dirac.DIAGONALS,
    "features": skip_features.FEATURES,
    "skips": skips.SKIPS,
}

DEFAULT = ("weights", "representations")
"""What is measured where nothing else is asked for."""

CHOSEN = (1, -3)
"""Layers whose distributions are taken: the first and the third from last, 1 and 108 of 110 as in Oyedotun Fig. 4."""


def check(names: Iterable[str]) -> None:
    """Refuse unknown names of measurements; the `UserError` names the nearest. Nothing is imported."""
    for name in names:
        if isinstance(name, str) and ":" in name:
            check_path(name, "measurement")
        elif not isinstance(name, str) or name not in MEASUREMENTS:
            raise unknown("measurement", name, MEASUREMENTS, extra="or your own by import path, package.module:NAME")


def named(names: Iterable[str]) -> tuple[str, ...]:
    """The measurements' names, each once; one's own, given by the import path of a `Measurement`, is now among them."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise UserError(f"measurements is {names!r}; allowed: a list of names, such as ['weights']")
    check(names := list(names))
    return tuple(_own(name) if ":" in name else name for name in dict.fromkeys(names))


def _own(path: str) -> str:
    try:
        own = load(path)
    except Exception as error:
        reason = first_line(error)
        raise UserError(f"cannot import the measurement {path} ({type(error).__name__}: {reason})") from error
    if not isinstance(own, Measurement):
        raise UserError(f"{path} is a {type(own).__name__}; a measurement is a repro.measurements.Measurement")
    if MEASUREMENTS.setdefault(own.name, own) is not own:
        raise UserError(f"{path} is called '{own.name}', and so is another measurement; give it a name of its own")
    return own.name


def listing() -> str:
    """Every measurement with what it is, for help."""
    entries = (
        f"  {name:20} {measurement.says}{' (default)' if name in DEFAULT else ''}"
        for name, measurement in MEASUREMENTS.items()
    )
    return "\n".join(["measurements:", *(fill(entry, 100, subsequent_indent=" " * 23) for entry in entries)])


def figure_specs() -> Iterator[tuple[Measurement, FigureSpec]]:
    """Every measurement's figures in the order in which a reader wants them."""
    drawn = [(measurement, figure) for measurement in MEASUREMENTS.values() for figure in measurement.figures]
    yield from sorted(drawn, key=lambda entry: not entry[1].chart)
