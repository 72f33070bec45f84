"""A legend's entries, for Matplotlib and for a page, whose key is as wide as the window and not as the figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.patheffects import Stroke

_WIDE, _HIGH = 36, 14


@dataclass(frozen=True)
class Entry:
    """What a line or mark means."""

    label: str
    style: Mapping[str, Any]
    """Line2D's properties."""
    core: str = ""
    """Colour of a line within the line."""

    @property
    def line(self) -> Line2D:
        """For Matplotlib's legend."""
        effects = [Stroke(), Stroke(linewidth=0.7, foreground=self.core)] if self.core else None
        return Line2D([], [], **self.style, label=self.label, path_effects=effects)

    @property
    def sample(self) -> str:
        """The same as the content of an SVG of 36 × 14 points."""
        color, width = self.style["color"], self.style.get("lw", 2)
        line = self.style.get("linestyle", "-")
        drawn = []
        if line != "none":
            dashes = "" if line == "-" else f' stroke-dasharray="{" ".join(f"{part * width:g}" for part in line[1])}"'
            opacity = f' stroke-opacity="{self.style["alpha"]}"' if "alpha" in self.style else ""
            path = f'<path d="M1 {_HIGH / 2:g}H{_WIDE - 1}"'
            drawn.append(f'{path} stroke="{color}" stroke-width="{width}"{opacity}{dashes}/>')
            if self.core:
                drawn.append(f'{path} stroke="{self.core}" stroke-width="0.7"/>')
        if self.style.get("marker"):
            face = self.style.get("markerfacecolor", color)
            drawn.append(f'<path d="{self._mark()}" fill="{face}" stroke="{color}"/>')
        return "".join(drawn)

    def _mark(self) -> str:
        marker = MarkerStyle(self.style["marker"])
        path, size = marker.get_path().transformed(marker.get_transform()), self.style["markersize"]
        corners = [
            " ".join(f"{_WIDE / 2 + size * x:.1f} {_HIGH / 2 - size * y:.1f}" for x, y in np.asarray(polygon, float))
            for polygon in path.to_polygons()
        ]
        return "".join(f"M{points}z" for points in corners)
