"""Several seeds of one network are one line with a band."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from repro.figures import draw_one, to_svg
from repro.figures.panels import Trace
from repro.figures.seeds import pooled

INF, NAN = math.inf, math.nan


def trace(y: list[float], *, x: list[float] | None = None, label: str = "a") -> Trace:
    return Trace(label=label, x=np.array(x or range(len(y)), float), y=np.array(y, float))


def test_the_middle_and_the_ends_of_each_point() -> None:
    (one,) = pooled([trace([1, 5, INF, 2]), trace([3, 4, 7, NAN]), trace([2, 9, INF, INF])])
    assert one.y.tolist() == [2, 5, INF, INF]
    assert one.band is not None
    low, high = one.band
    assert low.tolist() == [1, 4, 7, 2]
    assert high[:3].tolist() == [3, 9, INF]
    assert math.isnan(high[3])
    assert one.runs == 3


def test_other_networks_and_a_run_that_ended_early_stay_by_themselves() -> None:
    traces = [trace([1, 2, 3]), trace([2, 3]), trace([4, 5, 6], label="b")]
    assert pooled(traces) == traces


def lines(figure: Figure, gid: str) -> list[Line2D]:
    return [each for each in figure.findobj(Line2D) if each.get_gid() == gid]  # type: ignore[union-attr]


def test_a_figure_of_three_seeds_has_one_line_and_a_band_each(recorded) -> None:
    runs = [
        recorded("resnet20", weights={0: [2, 3, 4], 9: [10 * seed, 20, INF if seed == 3 else 4]}) for seed in (1, 2, 3)
    ]
    figure = draw_one("weights", runs)
    (line,) = lines(figure, "finite-resnet20-line")
    assert line.get_ydata().tolist() == [20, 20, 4]  # type: ignore[union-attr]
    bands = {str(each.get_gid()): each for each in figure.findobj(FillBetweenPolyCollection)}  # type: ignore[union-attr]
    assert set(bands) == {"band-resnet20-faint", "band-resnet20-line"}
    points = bands["band-resnet20-line"].get_paths()[0].vertices  # type: ignore[attr-defined]
    assert (points[:, 1].min(), points[:, 1].max()) == (4, 30), "where a seed is infinite it ends at the largest"
    assert "line, band: middle, range of 3 seeds" in to_svg(figure)
    to_svg(draw_one("first-layer", runs))


def test_a_long_legend_makes_the_figure_higher_and_not_its_panels_flat(recorded) -> None:
    few, many = (
        draw_one(
            "weights", [recorded(f"a-network-of-a-long-name-{number}", weights={0: [1, 2]}) for number in range(count)]
        )
        for count in (2, 16)
    )
    heights = [figure.axes[0].get_position().height * figure.get_size_inches()[1] for figure in (few, many)]
    assert heights[1] > 0.85 * heights[0]


def test_many_rows_of_infinite_values_make_the_figure_higher_and_not_its_panels_flat(recorded) -> None:
    figure = draw_one("weights", [recorded(f"net-{number}", weights={0: [1, math.inf]}) for number in range(20)])
    strip, main = sorted(axes.get_position().height * figure.get_size_inches()[1] for axes in figure.axes)[::-1]
    assert strip > 3
    assert main > 1.5
