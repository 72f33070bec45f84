"""The figures of the measurements beyond condition numbers of weights and representations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from repro.figures import RunRecords, distributions, draw_measurements, draw_one
from repro.measurements import MEASUREMENTS, take
from repro.measurements.registry import figure_specs
from repro.networks import create_network
from repro.networks.skip import SkipToOutput
from repro.records import RunDirectory

IMAGES = torch.randn(12, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> RunRecords:
    """Every measurement of a real network, at two steps."""
    torch.manual_seed(0)
    inner = create_network("diracnet8", width=4)
    network = SkipToOutput(inner, 30, 0, image=IMAGES[:1], num_classes=10, scale=0.5)
    run = RunDirectory.prepare(tmp_path_factory.mktemp("runs") / "run", "seed: 0\n")
    for step in (0, 7):
        readings = take(
            network, IMAGES, torch.arange(12) % 10, held_out=IMAGES.flip(0), measurements=list(MEASUREMENTS)
        )
        run.append_readings(step, 0, (reading.as_dict() for reading in readings))
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(1e3)
    return RunRecords.read(run, label="diracnet8")


@pytest.fixture(scope="module")
def drawn(measured: RunRecords) -> dict[str, Figure]:
    return draw_measurements([measured])


def lines(figure: Figure) -> list[Line2D]:
    return [artist for artist in figure.findobj(Line2D) if artist.get_gid()]  # type: ignore[union-attr]


@pytest.mark.slow
def test_every_measurement_has_its_figure(measured: RunRecords, drawn: dict[str, Figure]) -> None:
    assert set(drawn) == {spec.name for _, spec in figure_specs() if spec.chart}
    only_weights = RunRecords(
        label="a", metrics=measured.metrics, readings=measured.readings[measured.readings["measurement"] == "weights"]
    )
    assert set(draw_measurements([only_weights])) == {"weights"}


def test_no_text_is_a_formula_that_nobody_typesets(measured: RunRecords) -> None:
    """Matplotlib's own labels of powers are formulas, and ours are none: a $ in a name is a dollar sign."""
    for name, figure in draw_measurements([measured]).items():
        texts = [text.get_text() for text in figure.findobj(Text)]  # type: ignore[union-attr]
        assert not [text for text in texts if "$" in text], name


def test_lines_are_what_was_read_at_the_last_step(measured: RunRecords) -> None:
    figure = draw_one("diagonals", [measured])
    (line,) = [each for each in lines(figure) if each.get_gid() == "finite-diracnet8-line"]
    rows = measured.readings
    rows = rows[(rows["measurement"] == "diagonals") & (rows["step"] == 7) & (rows["quantity"] == "relative_distance")]
    assert line.get_ydata().tolist() == rows.sort_values("layer")["value"].tolist()
    assert line.get_xdata().tolist() == [2, 3, 4, 5, 6, 7]


def test_gradients_stand_beside_updates(drawn: dict[str, Figure]) -> None:
    titles = [axes.get_title(loc="left") for axes in drawn["gradients"].axes]
    assert [title for title in titles if title] == ["Gradients of the weights", "Updates of the weights"]


def test_distributions_are_bands_over_time_for_each_layer_and_network(measured: RunRecords) -> None:
    other = RunRecords(label="resnet110", metrics=measured.metrics, readings=measured.readings)
    figure = distributions.over_time([measured, other], "weights")
    cells = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in cells] == [
        "DiracNet-8\nlayer 1",
        "ResNet-110\nlayer 1",
        "DiracNet-8\nlayer 7",
        "ResNet-110\nlayer 7",
    ]
    rows = measured.readings
    rows = rows[(rows["measurement"] == "distributions") & (rows["mode"] == "weights") & (rows["layer"] == 1)]
    median = rows[rows["quantity"] == "p50"].sort_values("step")["value"].to_numpy()
    drawn = [np.asarray(line.get_ydata()) for line in cells[0].get_lines()]
    assert any(values.shape == median.shape and np.array_equal(values, median) for values in drawn)
    assert len([each for each in cells[0].collections if isinstance(each, FillBetweenPolyCollection)]) == 3


def test_steps_with_non_finite_entries_are_marked(tmp_path: Path) -> None:
    run = RunDirectory.prepare(tmp_path / "run", "seed: 0\n")
    for step, values in enumerate([{"count": 4, "nan": 4}, {"count": 4, "nan": 0, "p50": 1.0, "p25": 0.5, "p75": 2}]):
        full = {f"p{share:g}": 1.0 for share in (0, 0.1, 5, 95, 99.9, 100)} if "p50" in values else {}
        reading = {"measurement": "distributions", "layer": 1, "name": "a", "mode": "weights"}
        run.append_readings(step, 0, [{**reading, "values": {**values, **full}}])
    figure = distributions.over_time([RunRecords.read(run, label="plainnet110")], "weights")
    marks = [line for line in figure.axes[0].get_lines() if list(line.get_xdata()) == [0.0, 0.0]]
    assert len(marks) == 1
