from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from repro.figures import to_svg, training


def lines(figure: Figure, gid: str) -> list[Line2D]:
    found = figure.findobj(lambda artist: isinstance(artist, Line2D) and artist.get_gid() == gid)
    return [artist for artist in found if isinstance(artist, Line2D)]


def test_batches_are_lines_and_epoch_ends_marks_where_they_were_recorded(recorded) -> None:
    short = recorded(
        "plainnet110", metrics={"step/cross_entropy": {1: 2.3, 4: 2.2}, "test/cross_entropy": {3: 2.4, 6: 2.3}}
    )
    long = recorded("resnet110", metrics={"step/cross_entropy": {1: 2.0, 9: 0.5}, "test/cross_entropy": {7: 0.9}})
    figure = training.training_curves([short, long])
    (line,) = lines(figure, "finite-plainnet110-line")
    (marks,) = lines(figure, "finite-plainnet110-points")
    assert line.get_xydata().tolist() == [[1, 2.3], [4, 2.2]]
    assert marks.get_xydata().tolist() == [[3, 2.4], [6, 2.3]]
    assert lines(figure, "finite-resnet110-points")[0].get_xdata().tolist() == [7]
    assert line.axes.get_yscale() == "log"


def test_accuracy_is_in_per_cent_and_chance_is_drawn(recorded) -> None:
    run = recorded(metrics={"step/cross_entropy": {1: 2.0}, "step/accuracy": {1: 0.25}}, classes=5)
    figure = training.training_curves([run])
    entropy, accuracy = lines(figure, "finite-plainnet110-line")
    assert accuracy.get_ydata().tolist() == [25]
    levels = [
        [line.get_ydata()[0] for line in axes.lines if line.get_gid() is None] for axes in (entropy.axes, accuracy.axes)
    ]
    assert levels == [[pytest.approx(math.log(5))], [20]]


def test_runs_of_different_data_have_no_chance_level(recorded) -> None:
    runs = [
        recorded(label, metrics={"step/accuracy": {1: 0.2}}, classes=classes)
        for label, classes in (("a", 5), ("b", 10))
    ]
    figure = training.training_curves(runs)
    assert all(line.get_gid() for axes in figure.axes for line in axes.lines)


def test_a_loss_that_is_no_number_is_marked_where_it_is(recorded) -> None:
    run = recorded(metrics={"step/cross_entropy": {1: 2.0, 2: math.inf, 3: math.nan, 4: math.nan}})
    figure = training.training_curves([run])
    assert lines(figure, "infinite-plainnet110-line")[0].get_xdata().tolist() == [2]
    assert lines(figure, "non-finite-plainnet110-line")[0].get_xdata().tolist() == [3, 4]
    to_svg(figure)


def test_a_run_of_nothing_but_nan_and_one_of_zero_loss_can_be_drawn(recorded) -> None:
    runs = [
        recorded("a", metrics={"step/cross_entropy": {1: math.nan}}),
        recorded("b", metrics={"step/cross_entropy": {1: 1.0, 2: 0.0}}),
    ]
    to_svg(training.training_curves(runs))
    to_svg(training.training_curves(runs[:1]))


def test_long_series_are_averaged_over_neighbours(recorded) -> None:
    values = np.linspace(3, 1, 1000)
    values[500] = math.nan
    run = recorded(metrics={"step/cross_entropy": dict(enumerate(values.tolist()))})
    (line,) = lines(training.training_curves([run]), "finite-plainnet110-line")
    assert len(line.get_xdata()) == 250
    assert line.get_xydata()[0].tolist() == [1.5, pytest.approx(values[:4].mean())]
    (broken,) = lines(training.training_curves([run]), "non-finite-plainnet110-line")
    assert broken.get_xdata().tolist() == [501.5]


def test_epoch_means_stand_in_for_steps_and_validation_for_test(recorded) -> None:
    run = recorded(metrics={"train/cross_entropy": {10: 1.0}, "validation/cross_entropy": {10: 1.5}})
    figure = training.training_curves([run])
    assert lines(figure, "finite-plainnet110-line")[0].get_xydata().tolist() == [[10, 1.0]]
    assert lines(figure, "finite-plainnet110-points")[0].get_xydata().tolist() == [[10, 1.5]]


def test_the_first_layer_is_followed_from_step_0(recorded) -> None:
    figure = training.first_layer([recorded(weights={0: [1.0], 3: [1.0], 99: [1.0]})])
    (line,) = lines(figure, "finite-plainnet110-line")
    assert line.get_xydata().tolist() == [[0, 1], [3, 2], [99, 10]]
    assert line.axes.get_xlim()[0] < 0


def test_an_objective_that_is_the_cross_entropy_is_not_drawn_again(recorded) -> None:
    entropy = {1: 2.0, 2: 1.5}
    bare = recorded(metrics={"step/cross_entropy": entropy, "step/objective": entropy})
    other = recorded("b", metrics={"step/cross_entropy": entropy, "step/objective": {1: 2.5, 2: 1.7}})
    titles = [
        [axes.get_title(loc="left") for axes in training.training_curves(runs).axes if axes.get_title(loc="left")]
        for runs in ([bare], [bare, other])
    ]
    assert titles == [["Cross-entropy", "Accuracy"], ["Cross-entropy", "Objective, with weight penalty", "Accuracy"]]
    assert len(lines(training.training_curves([bare, other]), "finite-plainnet110-line")) == 1
