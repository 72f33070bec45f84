"""Records to Matplotlib figures: pure functions, used by the page and by W&B alike. Does not import torch or pyplot."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from repro.figures import conditioning, kappa, style, training
from repro.figures.source import RunRecords
from repro.figures.style import to_png, to_svg

__all__ = ["RunRecords", "conditioning", "draw", "kappa", "style", "to_png", "to_svg", "training"]


def draw(runs: Sequence[RunRecords]) -> dict[str, Figure]:
    """Every figure that these runs' records suffice for, by name, in the order in which a reader wants them."""
    figures = {}
    if training.has_curves(runs):
        figures["training-curves"] = training.training_curves(runs)
    if training.has_first_layer(runs):
        figures["first-layer"] = training.first_layer(runs)
    if conditioning.has_readings(runs, "weights"):
        figures["weights"] = conditioning.weights(runs)
    if conditioning.has_readings(runs, "representations"):
        figures["representations"] = conditioning.representations(runs)
    if conditioning.has_readings(runs, "weights"):
        figures["weights-map"] = conditioning.layer_time_map(runs, "weights")
    if conditioning.has_readings(runs, "representations"):
        figures["representations-map"] = conditioning.layer_time_map(runs, "representations")
    return figures
