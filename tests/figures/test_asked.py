"""What can be asked of a figure is what was measured, where it is drawn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from repro.figures import asked, conditioning, draw_one, to_svg, training

INF, NAN = math.inf, math.nan


def answers(figure: Figure) -> dict[str, Any]:
    found = asked(figure)
    assert found is not None
    return found


def trace(found: dict[str, Any], panel: int, number: int) -> dict[str, list[Any]]:
    given = found["panels"][panel]["traces"][number]
    return {word: found["lists"][index] for word, index in (given["columns"] | {"at": given["at"]}).items()}


def test_a_point_is_told_as_it_was_read_where_it_is_drawn(recorded) -> None:
    runs = [recorded(weights={0: [2, 3, 4], 9: [10, INF, NAN]}), recorded("resnet20", weights={0: [1, 2, 3]})]
    figure = draw_one("weights", runs)
    found = answers(figure)
    assert [network["name"] for network in found["networks"]] == ["PlainNet-110", "ResNet-20"]
    assert [each["when"] for each in found["panels"][0]["traces"]] == ["untrained", "trained", "untrained"]
    last = trace(found, 0, 1)
    assert last["weight layer"] == [1, 2, 3]
    assert last["name"] == ["layer1", "layer2", "layer3"]
    assert last["condition number κ"] == [10, "∞", "not a number"]
    assert last["σmax"] == [3.162] * 3
    places = np.array(last["at"]).reshape(-1, 2)
    main = next(axes for axes in figure.axes if axes.get_yscale() == "log")
    x, y = main.transData.transform([(1.0, 10.0)])[0] * 72 / figure.dpi
    assert places[0] == pytest.approx([x, found["height"] - y], abs=0.06)
    box = main.get_position()
    top = found["height"] * (1 - box.y1)
    assert all(place[1] < top for place in places[1:]), "in the strips above the axes"
    assert places[2][1] != places[1][1], "each in its own"
    svg = to_svg(figure)
    assert 'data-network="0"' in svg
    assert 'data-network="1"' in svg


def test_no_list_stands_there_twice_and_numbers_have_four_digits(recorded) -> None:
    run = recorded(weights={0: [math.pi, 2, 3], 9: [1e12 / 3, 2, 3]})
    found = answers(draw_one("weights", [run]))
    assert len({str(values) for values in found["lists"]}) == len(found["lists"])
    assert trace(found, 0, 0)["condition number κ"] == [3.142, 2, 3]
    assert trace(found, 0, 1)["condition number κ"][0] == 333_300_000_000


def test_bands_tell_their_ends(recorded) -> None:
    runs = [recorded("resnet20", weights={0: [1, 2], 9: [seed, 10 * seed]}) for seed in (1, 2, 6)]
    last = trace(answers(draw_one("weights", runs)), 0, 1)
    assert (last["condition number κ"], last["lowest"], last["highest"]) == ([2, 20], [1, 10], [6, 60])


def test_a_map_tells_every_cell(recorded) -> None:
    run = recorded(weights={0: [1, 2], 5: [3, INF]})
    found = answers(conditioning.layer_time_map([run], "weights"))
    assert [each["when"] for each in found["panels"][0]["traces"]] == ["step 0", "step 5"]
    last = trace(found, 0, 1)
    assert (last["layer"], last["condition number κ"]) == ([1, 2], [3, "∞"])
    assert last["kind"][0] == ""
    places = np.array(last["at"]).reshape(-1, 2)
    assert places[0][0] == places[1][0] > trace(found, 0, 0)["at"][0], "steps to the right"
    assert places[0][1] > places[1][1], "layers upwards"


def test_curves_tell_batches_from_held_out_data(recorded) -> None:
    run = recorded(metrics={"step/cross_entropy": {1: 2.0, 4: 1.0}, "test/cross_entropy": {4: 1.5}})
    found = answers(training.training_curves([run]))
    assert [each["when"] for each in found["panels"][0]["traces"]] == ["training batches", "held-out data"]
    assert trace(found, 0, 1)["cross-entropy (nats)"] == [1.5]


def test_other_figures_have_no_answers() -> None:
    assert asked(Figure()) is None


def test_the_key_has_each_entry_of_the_legend_as_it_is_drawn(recorded) -> None:
    figure = draw_one("weights", [recorded(weights={0: [2, 3], 9: [10, INF]}), recorded("resnet20", weights={0: [1]})])
    found = answers(figure)
    (legend,) = figure.legends
    names = [entry["name"] for entry in found["key"]]
    assert sorted(names) == sorted(text.get_text() for text in legend.get_texts())
    assert names[:2] == [network["name"] for network in found["networks"]], "first the networks"
    for entry, network in zip(found["key"], found["networks"], strict=False):
        assert network["color"] in entry["sample"]
    samples = {entry["name"]: entry["sample"] for entry in found["key"]}
    assert "stroke-dasharray" in samples["ResNet-20"]
    assert "stroke-dasharray" not in samples["PlainNet-110"]
    (infinite,) = (sample for name, sample in samples.items() if name.startswith(("filled", "hollow")))
    assert infinite.count("<path") == infinite.count("fill=") == 1, "a mark and no line"
    figure.draw_without_rendering()
    bottom = legend.get_window_extent().y0 * 72 / figure.dpi
    assert figure.get_size_inches()[1] * 72 - found["above"] <= bottom + 1, "all of the legend is above"
