"""The paper's tables beside its text."""

from __future__ import annotations

import pytest

from repro.studies import spread
from repro.studies.files import load
from repro.theory.nguyen import published


def test_published_tables_are_consistent() -> None:
    for name, values in published.TABLE_4.items():
        assert len(values) == len(published.TABLE_5[name]) == 4
    assert len(published.decreases("SGD")) == len(published.decreases("rand")) == 6
    assert max(published.decreases("SGD")) == pytest.approx(8.06)
    assert max(published.decreases("rand")) == pytest.approx(9.16)
    assert published.gains()["CNN13 softplus"] == pytest.approx(-0.06)


@pytest.mark.parametrize(
    ("study", "table"),
    [("nguyen-table2", published.TABLE_5), ("nguyen-table4", published.TABLE_4), ("nguyen-table5", published.TABLE_5)],
)
def test_the_tables_are_those_that_the_studies_are_held_against(
    study: str, table: dict[str, tuple[float, ...]]
) -> None:
    rows = {"plain": "", "rand": "-skip (rand)", "sgd": "-skip (SGD)"}
    values = load(study).paper_values
    for label, of_cell in values.items():
        network, activation, kind, *augmented = label.split("-")
        name = network.upper() if network.startswith("vgg") else network.capitalize()
        column = 2 * (activation == "softplus") + (augmented == ["c10plus"])
        assert spread.published(of_cell["test_accuracy"], 1).mean == table[name + rows[kind]][column], label
    columns = 2 if study == "nguyen-table2" else 4
    assert len(values) == sum(value is not None for row in table.values() for value in row[:: 4 // columns])


def test_table_1_is_its_studys() -> None:
    values = load("nguyen-table1").paper_values
    for kind, row in (("plain", "CNN13"), ("skip", "CNN13-skip (SGD)")):
        ours = tuple(
            spread.published(values[f"{name}-{kind}"]["test_accuracy"], 1).mean for name in ("sigmoid", "softplus")
        )
        assert ours == published.TABLE_1[row]
