"""What a measurement says of itself, for help, figures, page, W&B and claims. Imports neither torch nor pandas.

A new measurement is one file in `kinds` with a `Measurement`, and a line in `repro.measurements.registry`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from repro.importing import load

if TYPE_CHECKING:
    import pandas as pd

    from repro.measurements.kappa import Kappa
    from repro.measurements.probe import Probe
    from repro.measurements.reading import Reading


@dataclass(frozen=True, kw_only=True)
class PanelSpec:
    """A line for every run: one recorded quantity against the layer or the step, thin before training, thick after."""

    title: str
    y: str
    """Label of the y axis, with the unit."""
    mode: str
    quantity: str
    over: str = ""
    """Another quantity of the same mode that the plotted one is divided by."""
    against: Literal["layer", "step"] = "layer"
    scale: Literal["log", "linear"] = "log"
    limits: tuple[float, float] | None = None
    reference: float | None = None
    """A level to compare with, drawn as a dotted line."""


@dataclass(frozen=True, kw_only=True)
class FigureSpec:
    """A figure of the page, of W&B and of `repro measure`: its panels, or a function that draws it."""

    name: str
    """The figure's name on disk, in W&B (``charts/NAME``) and in studies."""
    heading: str
    caption: str
    """What is plotted; a sentence about infinite κ follows if there is one to say."""
    panels: tuple[PanelSpec | Kappa, ...] = ()
    of: tuple[str, ...] = ()
    """Measurements of which one suffices, where panels show several; if empty, the figure's own measurement."""
    draw: str = ""
    """For a figure without panels: import path of a function that draws it from the runs' records and `argument`."""
    argument: str = ""
    mode: str | None = None
    """The figure is drawn only if there are readings in this mode; None for any mode."""
    chart: bool = True
    """Whether the figure is also drawn of a single measuring, in W&B and `repro measure`; else it ends the page."""


@dataclass(frozen=True, kw_only=True)
class Quantities:
    """Numbers of a whole run, for claims, papers' values and W&B's summary."""

    words: Mapping[str, str]
    """Description of each number by name; with ``{}`` for a layer, which claims write ``weights_kappa[108]``."""
    values: Callable[[pd.DataFrame], Mapping[str, float]]
    """Computes the numbers from the measurement's readings; leaves out those that the readings do not suffice for."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A kind of measurement that can be taken of a network."""

    name: str
    says: str
    """What is measured, as a sentence without its full stop."""
    take: str | Callable[[Probe], Iterator[Reading]]
    """A function that yields the readings of this rank's layers (see `Probe.ranks`), or its import path."""
    kappas: tuple[Kappa, ...] = ()
    """Condition numbers that stand for a layer; W&B sums up the first."""
    figures: tuple[FigureSpec, ...] = ()
    quantities: tuple[Quantities, ...] = field(default=())
    """Quantities beside those of `kappas`."""
    over_time: bool = False
    """Whether its chart shows all steps so far, so that it may be taken often."""

    def readings(self, probe: Probe) -> Iterator[Reading]:
        """Take the measurement on a probe."""
        take: Callable[[Probe], Iterator[Reading]] = load(self.take) if isinstance(self.take, str) else self.take
        return take(probe)

    @property
    def all_quantities(self) -> tuple[Quantities, ...]:
        """The quantities of its condition numbers and all its other quantities."""
        return (*(kappa.quantities for kappa in self.kappas), *self.quantities)


def at_end(key: str, words: str, *, mode: str, quantity: str, first: int = 1) -> Quantities:
    """The median over the layers, from number `first` on, of one recorded quantity at the last measurement."""

    def values(readings: pd.DataFrame) -> dict[str, float]:
        rows = readings[(readings["mode"] == mode) & (readings["quantity"] == quantity) & (readings["layer"] >= first)]
        last = rows[rows["step"] == rows["step"].max()]
        return {key: float(last["value"].median(skipna=False))} if len(last) else {}

    return Quantities(words={key: words}, values=values)
