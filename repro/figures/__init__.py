"""Records to Matplotlib figures: pure functions, used by the page and by W&B alike. Does not import torch or pyplot."""

from collections.abc import Callable, Collection, Sequence
from functools import partial

from matplotlib.figure import Figure

from repro.figures import conditioning, depth, distributions, kappa, landscape, style, training
from repro.figures.source import RunRecords
from repro.figures.style import to_png, to_svg

__all__ = [
    "NAMES",
    "RunRecords",
    "chosen",
    "conditioning",
    "depth",
    "distributions",
    "draw",
    "draw_measurements",
    "draw_one",
    "kappa",
    "landscape",
    "style",
    "to_png",
    "to_svg",
    "training",
]

Runs = Sequence[RunRecords]


def _of_gradients(runs: Runs) -> bool:
    return conditioning.has_readings(runs, "gradients") or conditioning.has_readings(runs, "updates")


def _kappa(name: str, drawn: Callable[[Runs], Figure]) -> tuple[Callable[[Runs], bool], Callable[[Runs], Figure]]:
    return lambda runs: conditioning.has_readings(runs, name), drawn


MEASURED: dict[str, tuple[Callable[[Runs], bool], Callable[[Runs], Figure]]] = {
    "weights": _kappa("weights", conditioning.weights),
    "representations": _kappa("representations", conditioning.representations),
    "outputs": _kappa("outputs", conditioning.outputs),
    "gradients": (_of_gradients, conditioning.gradients),
    "errors": _kappa("errors", conditioning.errors),
    **{
        f"distributions-{kind}": (partial(distributions.has, kind=kind), partial(distributions.over_time, kind=kind))
        for kind in distributions.KINDS
    },
    "amplification": (partial(depth.has, measurement="amplification"), depth.amplification),
    "distance": (partial(depth.has, measurement="distance"), depth.distance),
    "diagonals": (partial(depth.has, measurement="diagonals"), depth.diagonals),
    "features": (partial(depth.has, measurement="features"), depth.features),
}
"""The figures of measurements: whether records suffice, and the figure."""


def _has_surface(runs: Runs) -> bool:
    return any(run.surface is not None for run in runs)


def _surfaces(runs: Runs) -> Figure:
    return landscape.surfaces([run.surface for run in runs if run.surface is not None])


_DRAWN = {
    "training-curves": (training.has_curves, training.training_curves),
    "first-layer": (training.has_first_layer, training.first_layer),
    "landscape": (_has_surface, _surfaces),
    **MEASURED,
    "weights-map": _kappa("weights", partial(conditioning.layer_time_map, measurement="weights")),
    "representations-map": _kappa(
        "representations", partial(conditioning.layer_time_map, measurement="representations")
    ),
}


NAMES = tuple(_DRAWN)


def chosen(runs: Runs, names: Collection[str] | None = None) -> list[str]:
    """The figures that these runs' records suffice for (of those named), in the order in which a reader wants them."""
    return [name for name, (suffices, _) in _DRAWN.items() if (names is None or name in names) and suffices(runs)]


def draw_one(name: str, runs: Runs) -> Figure:
    """A figure by name."""
    return _DRAWN[name][1](runs)


def draw(runs: Runs, names: Collection[str] | None = None) -> dict[str, Figure]:
    """Every figure that is `chosen`."""
    return {name: draw_one(name, runs) for name in chosen(runs, names)}


def draw_measurements(runs: Runs) -> dict[str, Figure]:
    """Those of the figures that show measurements, by name."""
    return {name: figure(runs) for name, (suffices, figure) in MEASURED.items() if suffices(runs)}
