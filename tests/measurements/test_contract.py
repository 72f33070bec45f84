"""A measurement is one file and a line: what it says of itself shows everywhere."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch

from repro import figures
from repro.cli import run
from repro.config import from_mapping, to_yaml
from repro.figures import RunRecords
from repro.measurements import MEASUREMENTS, Measurement, Probe, Reading, table, take
from repro.measurements.description import FigureSpec, PanelSpec, at_end
from repro.measurements.kappa import Kappa
from repro.measurements.quantities import in_words, quantities
from repro.measurements.registry import figure_specs
from repro.networks import create_network
from repro.networks.skip import SkipToOutput
from repro.records import RunDirectory, readings
from repro.report.identity import Prints
from repro.report.render import Studio
from repro.report.sources import ReportCell, Section
from repro.studies import claims
from repro.tracking.charts import Charts, summary

DOCUMENTED = (Path(__file__).parents[2] / "docs" / "measurements.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Every measurement, of a network that has something to say to each."""
    torch.manual_seed(0)
    images = torch.randn(12, 3, 8, 8)
    network = SkipToOutput(create_network("diracnet8", width=4), 30, 0, image=images[:1], num_classes=10, scale=0.5)
    readings = take(network, images, torch.arange(12) % 10, held_out=images.flip(0), measurements=list(MEASUREMENTS))
    found = table(readings)
    found.insert(0, "step", 1)
    found.insert(1, "epoch", 1)
    return found


def records(frame: pd.DataFrame) -> RunRecords:
    return RunRecords.of_readings("diracnet8", frame)


@pytest.mark.parametrize("name", list(MEASUREMENTS))
def test_it_says_what_it_is_and_shows(name: str, frame: pd.DataFrame) -> None:
    each = MEASUREMENTS[name]
    assert each.name == name
    assert each.says
    assert not each.says.endswith(".")
    assert f"\n## {name}\n" in DOCUMENTED
    own = frame[frame["measurement"] == name]
    assert len(own)
    alone = records(own)
    drawn = figures.draw_measurements([alone])
    assert drawn, "alone it has a figure"
    found = quantities({}, None, alone)
    for said in each.all_quantities:
        assert said.values(own).keys() <= found.keys()
    assert all(in_words(quantity) for quantity in found)
    for kappa in each.kappas:
        assert kappa.measurement == name
        assert kappa.has(own)
        assert f"{kappa.key}_median" in found
    numbers = summary(own)
    of_all = [words for said in each.quantities for words in said.words.values() if "{}" not in words]
    assert bool(numbers) == bool(each.kappas or of_all)


def test_names_are_each_of_one_thing() -> None:
    specs = [spec.name for _, spec in figure_specs()]
    words = [key for each in MEASUREMENTS.values() for said in each.all_quantities for key in said.words]
    for several in (specs, words):
        assert max(Counter(several).values()) == 1


def test_figures_say_what_they_plot() -> None:
    for measurement, spec in figure_specs():
        assert spec.heading
        assert spec.caption.strip().endswith(".")
        assert bool(spec.panels) != bool(spec.draw)
        measured = {panel.measurement for panel in spec.panels if isinstance(panel, Kappa)}
        assert measured <= MEASUREMENTS.keys()
        assert not measured or measurement.name in measured


def test_telling_what_there_is_needs_no_torch() -> None:
    code = "import sys, repro.measurements, repro.measurements.quantities as q; q.names(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "repro.measurements.registry" in loaded
    assert not {"torch", "matplotlib", "pandas", "numpy"} & set(loaded)


def _half(probe: Probe) -> Iterator[Reading]:
    for layer in probe.layers:
        yield Reading("toy", layer.index, layer.name, "", {"half": layer.index / 2})


TOY = Measurement(
    name="toy",
    says="half of every layer's number",
    take=_half,
    figures=(
        FigureSpec(
            name="toy-halves",
            heading="Halves",
            caption="Half of every number.",
            panels=(PanelSpec(title="Halves", y="half", mode="", quantity="half"),),
        ),
    ),
    quantities=(at_end("toy_median", "median half", mode="", quantity="half"),),
)


@pytest.fixture
def section(tmp_path: Path) -> Section:
    """A study of one run that took the toy's readings at its end, and that the paper has a value of."""
    directory = RunDirectory.prepare(
        tmp_path / "toys" / "a", to_yaml(from_mapping({"model": {"network": "plainnet8"}}))
    )
    network = create_network("plainnet8", width=4)
    readings = take(network, torch.randn(4, 3, 8, 8), measurements=["toy"])
    directory.append_readings(0, 0, (reading.as_dict() for reading in readings))
    directory.update_state(status="finished", step=1, epoch=1, seconds=1.0, final={})
    return Section(
        key="toys",
        name="toys",
        title="Toys",
        question="Which half?",
        cells=[ReportCell(label="plainnet8", seed=0, name="a", run=directory)],
        paper_values={"plainnet8": {"toy_median": 4.5}},
        claims=["plainnet8.toy_median > 2"],
    )


@pytest.mark.usefixtures("_registered")
def test_one_line_makes_a_measurement_show_on_the_page(section: Section) -> None:
    rendered = Studio(Prints()).render(section, 1, {})
    for text in ("<h2>Halves</h2>", "Half of every number.", "median half", "× 0.50"):
        assert text in rendered.part
    assert rendered.card.counts == {"holds": 1}
    assert list(rendered.figures) == ["toy-halves"]


@pytest.fixture
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MEASUREMENTS, "toy", TOY)


@pytest.mark.usefixtures("_registered")
def test_one_line_makes_a_measurement_show_in_help_and_claims(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        run(["fit", "--help"])
    assert "toy half of every layer's number" in " ".join(capsys.readouterr().out.split())
    claims.check("a.toy_median > 2", ["a"], of_paper=False)
    assert in_words("toy_median") == "median half"


@pytest.mark.usefixtures("_registered")
def test_one_line_makes_a_measurement_show_in_wandb(section: Section) -> None:
    assert section.cells[0].run is not None
    frame = readings(section.cells[0].run)
    assert set(Charts("plainnet8").content(frame)) == {"readings/toy"}
    assert set(Charts("plainnet8", pictures=True).content(frame)) == {"readings/toy", "pictures/toy-halves"}
    assert summary(frame) == {"toy/toy_median": 2.25}  # of 1 to 8
    (axes,) = figures.draw_one("toy-halves", [records(frame)]).axes
    assert [line.get_ydata().tolist() for line in axes.get_lines() if line.get_gid()] == [[n / 2 for n in range(1, 9)]]
