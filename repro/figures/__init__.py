"""Records to Matplotlib figures: pure functions, used by the page and by W&B alike. Does not import torch or pyplot."""

from collections.abc import Callable, Collection, Sequence
from functools import partial

from matplotlib.figure import Figure

from repro.figures import against, conditioning, distributions, landscape, measured, spectrum, style, training
from repro.figures.asked import asked
from repro.figures.source import DRAWN, RunRecords, first_of_each
from repro.figures.style import to_png, to_svg
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
    "landscape",
    "names",
    "style",
    "to_png",
    "to_svg",
    "training",
]

Runs = Sequence[RunRecords]
_Drawn = dict[str, tuple[Callable[[Runs], bool], Callable[[Runs], Figure]]]


def _surfaces(runs: Runs) -> Figure:
    return landscape.surfaces(list(first_of_each(runs, lambda run: run.surface).values()))


_OF_A_RUN: _Drawn = {
    "training-curves": (training.has_curves, training.training_curves),
    "first-layer": (training.has_first_layer, training.first_layer),
    "landscape": (lambda runs: any(run.surface is not None for run in runs), _surfaces),
    **{
        f"{measurement}-spectra": (
            partial(spectrum.has_spectra, measurement=measurement),
            partial(spectrum.of_runs, measurement=measurement),
        )
        for measurement in DRAWN
    },
}

_ASKED: _Drawn = {
    "dial": (against.turns, against.dial),
    "trainable-depth": (against.turns, against.depth),
    "learning-rates": (against.turns, against.rates),
}
"""Of studies that name them: what the last part of a label means is theirs."""


def _measured(*, charts: bool) -> _Drawn:
    """The figures of measurements: whether records suffice, and the figure."""
    return {
        spec.name: (
            partial(measured.suffices, measurement=measurement, figure=spec),
            partial(measured.draw, measurement=measurement, figure=spec),
        )
        for measurement, spec in figure_specs()
        if spec.chart or not charts
    }


def _drawn() -> _Drawn:
    return {**_ASKED, **_OF_A_RUN, **_measured(charts=False)}


def names() -> list[str]:
    """Every figure's name, in the order in which a reader wants them."""
    return list(_drawn())


def chosen(runs: Runs, names: Collection[str] | None = None) -> list[str]:
    """The figures that these runs' records suffice for (of those named), in the order in which a reader wants them."""
    wanted = [name for name in _drawn() if (name not in _ASKED if names is None else name in names)]
    return [name for name in wanted if _drawn()[name][0](runs)]


def draw_one(name: str, runs: Runs) -> Figure:
    """A figure by name."""
    return _drawn()[name][1](runs)


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
    return {name: figure(runs) for name, (suffices, figure) in _measured(charts=True).items() if suffices(runs)}
