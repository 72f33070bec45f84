"""Figures of what a study turns: the last part of its labels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from repro.figures import RunRecords, chosen, draw_one
from tests.figures.conftest import Factory

INF = math.inf


def line(figure: Figure, panel: int, name: str) -> Line2D:
    (found,) = [each for each in figure.axes[panel].get_lines() if each.get_gid() == name]
    return found


def turned(recorded: Factory, label: str, accuracy: float, matrix: list[float], sigma_min: float = 0.0) -> RunRecords:
    of_run = {"test/accuracy": {5: 0.2, 9: accuracy}, "train/cross_entropy": {9: 1 - accuracy}}
    finite = {9: [2.0, 4.0, 6.0]}
    return recorded(label, weights=finite, channel=finite, matrix={9: matrix}, metrics=of_run, sigma_min=sigma_min)


def test_the_dial_shows_the_middle_seed_and_which_representations_are_singular(recorded: Factory) -> None:
    runs = [
        turned(recorded, "resnet8-0", 0.1, [INF, INF, INF]),
        turned(recorded, "resnet8-0", 0.3, [INF, INF, 5.0], sigma_min=1e-9),
        turned(recorded, "resnet8-0", 0.2, [INF, 7.0, 5.0]),
        turned(recorded, "resnet8-0.5", 0.9, [3.0, 7.0, 5.0]),
        turned(recorded, "resnet8-learned", 0.9, [3.0, 7.0, 5.0]),
    ]
    figure = draw_one("dial", runs)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["Test accuracy", "κ of kernels", "Singular, channel mode", "Singular, as matrices"]
    accuracy, both, perfect = (
        line(figure, panel, f"finite-resnet8-{kind}") for panel, kind in ((0, "line"), (3, "line"), (3, "faint"))
    )
    assert accuracy.get_xdata().tolist() == [0.0, 0.5]  # type: ignore[union-attr]
    assert accuracy.get_ydata() == pytest.approx([20.0, 90.0])
    assert both.get_ydata() == pytest.approx([200 / 3, 0.0])
    assert perfect.get_ydata() == pytest.approx([100 / 3, 0.0])
    assert np.ravel(line(figure, 1, "finite-resnet8-line").get_ydata()).tolist() == [4.0, 4.0]


def test_depth_and_rates_stand_on_logarithmic_axes(recorded: Factory) -> None:
    deep = [turned(recorded, f"plain-{depth}", 1 / depth, [2.0]) for depth in (8, 56)]
    figure = draw_one("trainable-depth", deep)
    assert {axes.get_xscale() for axes in figure.axes} == {"log"}
    assert line(figure, 0, "finite-plain-line").get_ydata() == pytest.approx([12.5, 100 / 56])
    rates = [turned(recorded, f"{net}-sgd-{rate}", rate, [2.0]) for net in ("resnet8", "vgg11") for rate in (0.1, 0.01)]
    figure = draw_one("learning-rates", rates)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["ResNet-8", "vgg11"]
    assert line(figure, 1, "finite-sgd-line").get_ydata() == pytest.approx([0.99, 0.9])


def test_only_a_study_that_names_them_gets_them(recorded: Factory) -> None:
    runs = [turned(recorded, f"plain-{depth}", 0.5, [2.0]) for depth in (8, 56)]
    assert "dial" not in chosen(runs)
    assert chosen(runs, ["dial"]) == ["dial"]
    assert chosen(runs[:1], ["dial"]) == [], "one number turns nothing"
