"""How far a DiracNet's diagonals have moved from the identity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from repro.measurements.description import FigureSpec, Measurement, PanelSpec, Quantities
from repro.measurements.reading import Reading

if TYPE_CHECKING:
    import pandas as pd

    from repro.measurements.probe import Probe


def diagonals(probe: Probe) -> Iterator[Reading]:
    """‖a − 1‖ of every DiracNet layer (Oyedotun 6.5 (c), Eq. 28); nothing for other networks.

    ``distance`` is ‖a − 1‖ (Euclidean), ``relative_distance`` that over ‖1‖; ``minimum`` and ``maximum`` are a's.
    """
    from repro.networks.families.dirac import DiracConv2d

    if probe.ranks.rank != 0:
        return
    for layer in probe.layers:
        if isinstance(layer.module, DiracConv2d):
            a = layer.module.diagonal.detach().double()
            moved = float((a - 1).norm())
            values = {"distance": moved, "relative_distance": moved / len(a) ** 0.5}
            values |= {"minimum": float(a.min()), "maximum": float(a.max())}
            yield Reading("diagonals", layer.index, layer.name, "", values)


def _quantities(readings: pd.DataFrame) -> dict[str, float]:
    """The median distance at the end, and its ratio to that at the first measurement of the training."""
    medians = readings[readings["quantity"] == "relative_distance"].groupby("step")["value"].median()
    medians = medians[medians.index > 0]
    quantities = {"diagonals_median": float(medians.iloc[-1])} if len(medians) else {}
    if len(medians) and medians.iloc[0] > 0:  # held at 1 they do not move
        quantities["diagonals_growth"] = float(medians.iloc[-1] / medians.iloc[0])
    return quantities


DIAGONALS = Measurement(
    name="diagonals",
    says="‖a − 1‖ of every layer of a DiracNet",
    take=diagonals,
    quantities=(
        Quantities(
            words={
                "diagonals_median": "median distance of the diagonals from 1, relative to it",
                "diagonals_growth": "median distance of the diagonals from 1 over that at the first measurement of it",
            },
            values=_quantities,
        ),
    ),
    figures=(
        FigureSpec(
            name="diagonals",
            heading="DiracNet's diagonals",
            caption="How far the diagonal a of every DiracNet layer is from 1, relative to the norm of 1.",
            panels=(
                PanelSpec(
                    title="DiracNet's diagonals",
                    y="‖a − 1‖ / ‖1‖",
                    mode="",
                    quantity="relative_distance",
                    scale="linear",
                ),
            ),
        ),
    ),
)
