"""Records to Matplotlib figures: pure functions, used by the page and by W&B alike. Does not import torch or pyplot."""

from collections.abc import Collection, Sequence
from functools import partial

from matplotlib.figure import Figure

from repro.figures import against, conditioning, distributions, landscape, measured, spectrum, style, training
from repro.figures.asked import asked
from repro.figures.source import Drawing, RunRecords
from repro.figures.style import to_png, to_svg
from repro.measurements.description import FigureSpec, Measurement
from repro.measurements.kappa import Kappa
from repro.measurements.registry import figure_specs

__all__ = [
    "RunRecords",
    "against",
    "asked",
    "chosen",
    "conditioning",
    "distributions",
    "draw",
    "draw_measurements",
    "draw_one",
    "drawings",
    "landscape",
    "names",
    "style",
    "to_png",
    "to_svg",
    "training",
]

Runs = Sequence[RunRecords]
DRAWINGS = {
    "dial": against.DIAL,
    "slope": against.SLOPE,
    "trainable-depth": against.DEPTH,
    "learning-rates": against.RATES,
    "training-curves": training.CURVES,
    "first-layer": training.FIRST_LAYER,
    "landscape": landscape.LANDSCAPE,
    **spectrum.SPECTRA,
}
"""The figures of runs that are no measurement's; `drawings` has all."""


def _of_measurement(measurement: Measurement, spec: FigureSpec) -> Drawing:
    return Drawing(
        heading=spec.heading,
        caption=spec.caption,
        suffices=partial(measured.suffices, measurement=measurement, figure=spec),
        draw=partial(measured.draw, measurement=measurement, figure=spec),
        kappas=[panel for panel in spec.panels if isinstance(panel, Kappa)],
    )


def drawings() -> dict[str, Drawing]:
    """Every figure by name, in the order in which a reader wants them."""
    return DRAWINGS | {spec.name: _of_measurement(measurement, spec) for measurement, spec in figure_specs()}


def names() -> list[str]:
    """Every figure's name, in the order in which a reader wants them."""
    return list(drawings())


def chosen(runs: Runs, names: Collection[str] | None = None) -> list[str]:
    """The figures that these runs' records suffice for (of those named), in the order in which a reader wants them."""
    wanted = {
        name: each for name, each in drawings().items() if (not each.when_named if names is None else name in names)
    }
    return [name for name, drawing in wanted.items() if drawing.suffices(runs)]


def draw_one(name: str, runs: Runs) -> Figure:
    """A figure by name."""
    return drawings()[name].draw(runs)


def draw(runs: Runs, names: Collection[str] | None = None) -> dict[str, Figure]:
    """Draw all figures for which these runs have records, or those of them in `names`.

    Args:
        runs: Records of runs (`RunRecords.read`); runs with the same label are several seeds of one network.
        names: Names of figures, such as ``weights`` or ``training-curves``.

    Returns:
        Matplotlib figures by name.

    Example:
        >>> from repro.records import RunDirectory
        >>> figures = draw([RunRecords.read(RunDirectory.open("runs/single/RUN"))], names=["weights"])
        >>> to_png(figures["weights"])[1:4].decode()
        'PNG'
    """
    return {name: draw_one(name, runs) for name in chosen(runs, names)}


def draw_measurements(runs: Runs) -> dict[str, Figure]:
    """Those of the figures that show measurements, by name."""
    charts = {spec.name: _of_measurement(measurement, spec) for measurement, spec in figure_specs() if spec.chart}
    return {name: drawing.draw(runs) for name, drawing in charts.items() if drawing.suffices(runs)}
