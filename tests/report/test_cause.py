"""The part of the page on causes: what was turned, and what first readings foretell."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from repro.report import cause
from repro.report.build import files
from repro.report.memory import NAME, Memory
from repro.report.overview import Entry
from repro.report.pages.svg import Drawn
from repro.report.sources import Section
from repro.report.tables import to_markdown
from repro.studies.forecast import LOSS, Case, Forecast
from tests.studies.test_forecast import write


def told(when: str, reading: str, rho: float, precision: float = 0.75) -> Forecast:
    runs = [
        Case(study="s", name=str(n), network=f"{family}20", score=n / 2, trains=n > 0, before={}, early={})
        for n, family in enumerate(("plainnet", "resnet", "resnet"))
    ]
    values = [math.inf, 2.0, 4.0]
    return Forecast(
        when=when,
        reading=reading,
        cases=runs,
        values=values,
        rho=rho,
        p=0.02,
        threshold=4.0,
        precision=precision,
        recall=0.5,
    )


FORECASTS = [told("before", "κ", 0.1, math.nan), told("early", LOSS, -0.99), told("early", "growth", -0.8)]


def test_the_table_has_a_row_for_each_reading_and_says_where_none_is_said_to_train() -> None:
    rows = to_markdown(cause.table(FORECASTS)).splitlines()[2:]
    assert rows[0] == "| before | κ | 3 | 2 | 0.10 | 0.02 | ≤ 4 | none predicted | 0.50 |"
    assert rows[2] == "| early | growth | 3 | 2 | −0.80 | 0.02 | ≤ 4 | 0.75 | 0.50 |"


def test_the_figure_shows_of_each_time_the_strongest_that_needs_a_condition_number() -> None:
    figure = cause.drawn(FORECASTS)
    assert [axes.get_xlabel() for axes in figure.axes] == ["κ", "growth"]
    (plain,) = [line for line in figure.axes[0].get_lines() if line.get_gid() == "runs-PlainNet"]
    assert plain.get_xdata()[0] > 4, "infinite stands beyond the largest"  # type: ignore[index]
    assert "∞" in [text.get_text() for text in figure.axes[0].texts]


def test_figures_of_what_was_turned_come_first_and_lead_to_their_study() -> None:
    section = Section(name="d", key="d", title="The dial & more", question="?", cells=[])
    known = {key: Drawn(svg=f'<svg viewBox="0 0 1 1">{key} of it</svg>', asked="") for key in ("k", "w")}
    text, markdown = cause.page([(section, {"weights": "w", "dial": "k"})], FORECASTS, known)
    assert text.index("k of it") < text.index("First readings") < text.index("<table")
    assert '<a href="d.html">The dial &amp; more</a>' in text
    assert "w of it" not in text
    assert "| early | growth |" in markdown
    assert cause.page([(section, {"dial": "k"})], [], known)[0].count("k of it") == 1
    assert cause.page([(section, {"weights": "w"})], [], known) == ("", "")


def test_runs_are_read_once_for_reports_into_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for study in ("a", "b"):
        for seed in range(5):
            accuracy = None if seed == 0 else 0.2 * seed
            write(tmp_path / "runs", study, seed, accuracy=accuracy, kappas={0: 9.0 - seed if seed else math.inf})
    memory = Memory(tmp_path)
    first = cause.foretold([tmp_path / "runs"], memory)
    (tmp_path / NAME).write_bytes(memory.content({}))
    assert first[0].rho == pytest.approx(-1)
    monkeypatch.setattr(cause, "cases", lambda _folders: pytest.fail("they were read before"))
    assert cause.foretold([tmp_path / "runs"], Memory(tmp_path)) == first


@pytest.mark.parametrize("forecasts", [[], FORECASTS])
def test_it_is_a_page_of_its_own_to_which_the_overview_leads(forecasts: list[Forecast]) -> None:
    section = Section(name="d", key="d", title="D", question="?", cells=[])
    made = files([section], [Entry(study="d", section=section, done=1)], told=forecasts)
    assert ("parts/cause.html" in made) == bool(forecasts)
    assert (b"parts/cause.html" in made["index.html"]) == bool(forecasts)
    assert (cause.TITLE in made["tables.md"].decode()) == bool(forecasts)
    if forecasts:
        assert "data-figure" not in made["parts/cause.html"].decode(), "it is drawn"
