from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from repro.figures import conditioning, draw, draw_one, to_svg

INF, NAN = math.inf, math.nan


def line(figure: Figure, gid: str) -> Line2D:
    (found,) = figure.findobj(lambda artist: isinstance(artist, Line2D) and artist.get_gid() == gid)
    assert isinstance(found, Line2D)
    return found


def gids(figure: Figure) -> set[str]:
    return {str(artist.get_gid()) for artist in figure.findobj(Line2D) if artist.get_gid()}


def texts(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def test_infinite_and_non_finite_values_are_marks_in_named_strips(recorded) -> None:
    run = recorded(weights={0: [2, 3, 4, 5], 9: [10, INF, NAN, INF]})
    figure = draw_one("weights", [run])
    assert line(figure, "finite-plainnet110-faint").get_ydata().tolist() == [2, 3, 4, 5]
    assert line(figure, "finite-plainnet110-line").get_ydata().tolist() == pytest.approx(
        [10, NAN, NAN, NAN], nan_ok=True
    )
    infinite, broken = line(figure, "singular-plainnet110-line"), line(figure, "non-finite-plainnet110-line")
    assert infinite.get_xdata().tolist() == [2, 4]
    assert line(figure, "alone-plainnet110-line").get_xydata().tolist() == [[1, 10]]  # a line needs two points
    assert broken.get_xdata().tolist() == [3]
    assert broken.get_marker() == "x"
    assert infinite.axes is not broken.axes
    assert infinite.axes is not line(figure, "finite-plainnet110-line").axes
    assert "filled: perfectly singular (σmin/σmax ≤ 1e-12)" in texts(figure)
    assert "hollow" not in texts(figure)
    assert "non-finite entries" in texts(figure)


def test_perfect_singularity_has_filled_marks_and_what_is_beyond_float32_hollow_ones(recorded) -> None:
    singular = recorded("plainnet110", weights={0: [2, 3], 9: [INF, 4]})
    beyond = recorded("resnet110", weights={0: [2, 3], 9: [INF, 4]}, sigma_min=1e-8)
    figure = draw_one("weights", [singular, beyond])
    filled, hollow = line(figure, "singular-plainnet110-line"), line(figure, "beyond-resnet110-line")
    assert filled.axes is hollow.axes
    assert (filled.get_fillstyle(), hollow.get_markerfacecolor()) == ("full", "none")
    assert filled.get_markerfacecolor() != "none"
    for words in ("filled: perfectly singular (σmin/σmax ≤ 1e-12)", "hollow: beyond float32 (κ > 8.4e6)"):
        assert words in texts(figure)


def test_the_map_tells_the_two_kinds_of_infinite_apart(recorded) -> None:
    run = recorded(weights={0: [2, INF], 9: [INF, 4]}, sigma_min=2e-12)  # σmax is 1, then √10
    figure = conditioning.layer_time_map([run], "weights")
    cells = {str(each.get_gid()): each for each in figure.axes[0].collections if isinstance(each, PolyCollection)}
    assert covered(cells["singular"], 2, 2).tolist() == [[False, True], [False, False]]
    assert covered(cells["beyond float32"], 2, 2).tolist() == [[False, False], [True, False]]
    assert cells["singular"].get_hatch() != cells["beyond float32"].get_hatch()
    assert "κ = ∞: perfectly singular" in texts(figure)
    assert "κ = ∞: beyond float32" in texts(figure)


def test_strips_appear_only_where_they_are_needed(recorded) -> None:
    figure = draw_one("weights", [recorded(weights={0: [2, 3], 9: [10, 20]})])
    assert len(figure.axes) == 1
    assert "∞" not in texts(figure)


def test_marks_of_different_networks_do_not_cover_each_other(recorded) -> None:
    runs = [recorded(label, weights={0: [INF, 1], 9: [INF, INF]}) for label in ("plainnet110", "resnet110")]
    figure = draw_one("weights", runs)
    marks = [
        line(figure, f"singular-{label}-{kind}") for label in ("plainnet110", "resnet110") for kind in ("line", "faint")
    ]
    assert len({mark.get_ydata()[0] for mark in marks}) == 4
    low, high = marks[0].axes.get_ylim()
    assert all(low < mark.get_ydata()[0] < high for mark in marks)


def test_only_infinite_values_can_be_drawn(recorded) -> None:
    run = recorded(weights={0: [INF, INF]}, channel={0: [INF]}, matrix={0: [NAN]})
    for figure in draw([run]).values():
        to_svg(figure)


def test_a_run_measured_once_is_drawn_as_its_last_measurement(recorded) -> None:
    assert gids(draw_one("weights", [recorded(weights={0: [2, 3]})])) == {"finite-plainnet110-line"}


def test_both_forms_of_a_representation_share_their_scale(recorded) -> None:
    run = recorded(channel={0: [1, 2], 9: [INF, 5]}, matrix={0: [10, 20], 9: [1e5, 1e6]})
    figure = draw_one("representations", [run])
    scales = {axes.get_ylim() for axes in figure.axes if axes.get_yscale() == "log"}
    assert len(scales) == 1
    assert "channel mode" in texts(figure)
    assert "matrix" in texts(figure)


def test_the_input_images_are_no_layer(recorded) -> None:
    run = recorded(channel={0: [1.0, 2.0]})
    run.readings.loc[run.readings["layer"] == 1, "layer"] = 0
    x = line(draw_one("representations", [run]), "finite-plainnet110-line").get_xdata()
    assert x.tolist() == [2]


def covered(collection: PolyCollection, depth: int, columns: int) -> np.ndarray:
    """The cells whose centres lie in a collection's rectangles."""
    cells = np.zeros((depth, columns), bool)
    for path in collection.get_paths():
        for layer in range(depth):
            for column in range(columns):
                cells[layer, column] |= path.contains_point((column, layer + 1))
    return cells


def test_the_map_shows_every_cell_as_what_it_is(recorded) -> None:
    values = np.array([[1, INF, INF, 9], [INF, INF, 4, NAN], [2, INF, INF, NAN], [3, 4, INF, INF]])
    steps = [0, 1, 10, 20]
    run = recorded(weights={step: values[:, column].tolist() for column, step in enumerate(steps)})
    figure = conditioning.layer_time_map([run], "weights")
    axes = figure.axes[0]
    shown = axes.images[0].get_array()
    assert np.ma.getmaskarray(shown).tolist() == (~np.isfinite(values)).tolist()
    assert shown.compressed().tolist() == values[np.isfinite(values)].tolist()
    collections = {str(each.get_gid()): each for each in axes.collections if isinstance(each, PolyCollection)}
    assert covered(collections["singular"], 4, 4).tolist() == np.isinf(values).tolist()
    assert covered(collections["non-finite"], 4, 4).tolist() == np.isnan(values).tolist()
    assert collections["singular"].get_hatch() != collections["non-finite"].get_hatch() is not None
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0\n0", "1\n1", "10\n2", "20\n3"]
    assert "singular" in texts(figure)


def test_maps_share_one_scale_and_a_layer_that_was_not_measured_stays_blank(recorded) -> None:
    runs = [recorded("plainnet20", weights={0: [1, 10], 5: [1]}), recorded("resnet20", weights={0: [100, 1000]})]
    figure = conditioning.layer_time_map(runs, "weights")
    first, second = (axes.images[0] for axes in figure.axes[:2])
    assert first.norm is second.norm
    assert (first.norm.vmin, first.norm.vmax) == (1, 1000)
    assert np.ma.getmaskarray(first.get_array()).tolist() == [[False, False], [False, True]]
    assert not figure.axes[0].collections


def test_of_many_measurements_a_few_are_labelled(recorded) -> None:
    run = recorded(weights={step: [1, 2] for step in range(100)})
    assert len(conditioning.layer_time_map([run], "weights").axes[0].get_xticks()) <= 8


def test_what_was_not_recorded_is_not_drawn(recorded) -> None:
    assert draw([recorded()]) == {}
    assert list(draw([recorded(weights={0: [1, 2]})])) == ["first-layer", "weights", "weights-map"]
    assert list(draw([recorded(channel={0: [1, 2]}), recorded("resnet110")])) == [
        "representations",
        "representations-map",
    ]
