"""A grid of images, as a person checks a data set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure

from repro.figures.style import INK, freeze_layout, styled

_COLUMNS = 8
_INCHES = 1.05


@styled()
def grid(
    rows: Sequence[tuple[str, UInt8[np.ndarray, "images height width channels"]]], names: Sequence[str], heading: str
) -> Figure:
    """Images in bands of eight columns; each band shows the same images in every one of the rows, under their names."""
    bands = -(-len(names) // _COLUMNS)
    height = 0.9 + bands * (len(rows) * _INCHES + 0.45)
    figure = Figure(figsize=(1.6 + _COLUMNS * _INCHES, height), layout="constrained")
    axes = figure.subplots(bands * len(rows), _COLUMNS, squeeze=False)
    figure.suptitle(heading, x=0.01, ha="left", color=INK, fontsize=12)
    for cell in axes.flat:
        cell.axis("off")
    for number, name in enumerate(names):
        band, column = divmod(number, _COLUMNS)
        for row, (_, images) in enumerate(rows):
            cell = axes[band * len(rows) + row, column]
            cell.imshow(images[number], cmap="gray", vmin=0, vmax=255, interpolation="nearest")  # unless in colour
            if row == 0:
                cell.set_title(name, fontsize=9, fontweight="normal", loc="center")
    for band in range(bands):
        for row, (label, _) in enumerate(rows):
            cell = axes[band * len(rows) + row, 0]
            cell.text(-0.12, 0.5, label, transform=cell.transAxes, ha="right", va="center")
    return freeze_layout(figure)


def pixels(
    images: Float[np.ndarray, "images channels height width"],
) -> UInt8[np.ndarray, "images height width channels"]:
    """Images of values in [0, 1] as bytes."""
    return np.asarray(np.rint(255 * images.transpose(0, 2, 3, 1)).clip(0, 255), np.uint8)
