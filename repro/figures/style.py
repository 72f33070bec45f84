"""Colours, line styles and names that all figures share, and turning a figure into bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from repro.figures.svg.letters import lettered
from repro.figures.svg.slim import slim
from repro.text import printable

INK = "#1a1a1a"
MUTED = "#595959"
GRID = "#dedede"
PAPER = "#ffffff"
BAND = "#f3f3f3"
SINGULAR = "#e9a3c9"
HATCH = "#3b1230"

DARK = {
    INK: "#e8e8e8",
    MUTED: "#b0b0b0",
    GRID: "#3a3f45",
    PAPER: "#16191d",
    BAND: "#21262c",
    "#b3460b": "#f08a4b",
    "#12406f": "#b5d6ff",
    "#1fa187": "#1f9a80",
    "#7a3e9d": "#c9a0e6",
    "#8a6d00": "#d9bc4a",
    "#c2477f": "#f08ab8",
    "#6b6b6b": "#a8a8a8",
    "#4e9dd6": "#4e9dd6",
}
"""What each colour of a figure becomes on a dark page. `SINGULAR`, `HATCH` and colour maps stay."""


_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""What XML has no place for: a stranger's names may hold it."""


@dataclass(frozen=True)
class Look:
    """How one network is drawn: three signs, each of which suffices to tell it from the others."""

    color: str
    line: Literal["-"] | tuple[int, tuple[float, ...]]
    marker: str


# Lightness (CIE L*) of the first three is 42, 26 and 59, so that they differ in grey too; tests/figures checks it.
_LOOKS = [
    Look("#b3460b", "-", "o"),
    Look("#12406f", (0, (6.0, 1.5)), "s"),
    Look("#1fa187", (0, (1.5, 1.2)), "^"),
    Look("#7a3e9d", (0, (6.0, 1.5, 1.5, 1.5)), "D"),
    Look("#8a6d00", (0, (3.0, 1.5)), "v"),
    Look("#c2477f", (0, (8.0, 3.0)), "P"),
    Look("#6b6b6b", (0, (4.0, 1.0, 1.0, 1.0, 1.0, 1.0)), "X"),
    Look("#4e9dd6", (0, (1.0, 2.5)), "p"),
]
_FAMILIES = {"plainnet": "PlainNet", "resnet": "ResNet", "resnext": "ResNeXt", "diracnet": "DiracNet"}


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """A look for each label: the four families always have their own, others take what is free."""
    unique = list(dict.fromkeys(labels))
    free = list(range(len(_LOOKS)))
    chosen: dict[str, Look] = {}
    for slot, family in enumerate(_FAMILIES):
        of_family = next((label for label in unique if re.match(rf"{family}\d", label)), None)
        if of_family is not None:
            chosen[of_family] = _LOOKS[slot]
            free.remove(slot)
    for number, label in enumerate(label for label in unique if label not in chosen):
        chosen[label] = _LOOKS[free[number % len(free)]]
    return chosen


def title(label: str) -> str:
    """A label as a reader's eye wants it: ``plainnet110-tanh`` is PlainNet-110 (tanh); anything else stays."""
    match = re.fullmatch(rf"({'|'.join(_FAMILIES)})(\d+)(?:-(.+))?", label, re.DOTALL)
    return f"{_FAMILIES[match[1]]}-{match[2]}{f' ({match[3]})' if match[3] else ''}" if match else label


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib's settings for our figures; the caller's own are back afterwards."""
    settings = {
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
        "font.size": 12,
        "axes.titlesize": 12.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 12,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.facecolor": PAPER,
        "figure.facecolor": PAPER,
        "grid.color": GRID,
        "grid.linewidth": 0.8,
        "hatch.linewidth": 0.9,
        "legend.frameon": False,
        "legend.fontsize": 12,
        "legend.labelcolor": INK,
        "lines.solid_capstyle": "round",
        "text.color": INK,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "xtick.labelsize": 11,
        "ytick.labelsize": 11,
        "text.parse_math": False,  # a $ in a name is a dollar sign, not the beginning of a formula
        "svg.fonttype": "none",  # text stays text: searchable, and small
        "svg.hashsalt": "repro",
    }
    with mpl.rc_context():
        mpl.rcdefaults()  # a matplotlibrc, which may lie in a stranger's folder, can ask for TeX, which runs commands
        mpl.rcParams.update(settings)  # type: ignore[arg-type]
        yield


def freeze_layout(figure: Figure) -> Figure:
    """The figure with its constrained layout computed once and for all, rather than for every file made of it."""
    layout = figure.get_layout_engine()
    assert layout is not None
    layout.execute(figure)
    figure.set_layout_engine("none")
    return figure


def to_svg(figure: Figure) -> str:
    """The figure as SVG; the same figure always gives the same text."""
    buffer = io.StringIO()
    with styled(), lettered(figure, as_text=True):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    drawn = _UNWRITABLE.sub(lambda match: printable(match[0]), buffer.getvalue())
    return slim(drawn, list(getattr(figure, "networks", ())))


def to_png(figure: Figure, *, dpi: int = 200) -> bytes:
    """The figure as PNG, opaque on white."""
    buffer = io.BytesIO()
    with styled(), lettered(figure):
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()
