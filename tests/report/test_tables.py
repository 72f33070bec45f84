from __future__ import annotations

import csv
import io
import math
import statistics

import pytest
from scipy import stats

from repro.report import tables
from repro.report.outcomes import outcomes, verdicts
from repro.report.sources import sections


def row(table: tables.Table, number: int) -> dict[str, str]:
    return {column.full_name: text for column, text in zip(table.columns, table.rows[number], strict=True)}


def test_a_finished_run_stands_beside_the_papers_values(run, manifest) -> None:
    run("a", network="plainnet20", final={"train_accuracy": 0.1124, "test_accuracy": 0.1}, growth=12345.0)
    (section,) = sections([manifest(("plainnet20", 0, "a"))])
    assert row(tables.accuracy_table(section, outcomes(section)), 0) == {
        "network": "PlainNet-20",
        "training accuracy (%): ours": "11.24",
        "training accuracy (%): paper": "11.20",
        "training accuracy (%): difference": "+0.04",
        "test accuracy (%): ours": "10.00",
        "test accuracy (%): paper": "11.35",
        "test accuracy (%): difference": "−1.35",
        "first layer's σmax, end / start": "× 12,000",
        "status": "finished",
        "time": "84 s",
    }


def test_the_two_kinds_of_infinite_are_counted_apart(run, manifest) -> None:
    run("a", network="plainnet20", channel=math.inf)
    run("b", network="resnet20", channel=math.inf, sigma_min=1e-9)
    (section,) = sections([manifest(("plainnet20", 0, "a"), ("resnet20", 0, "b"))])
    table = tables.accuracy_table(section, outcomes(section))
    name = "layers with infinite κ: singular + beyond float32: representations, channel mode"
    assert [row(table, number)[name] for number in (0, 1)] == ["2 + 0", "0 + 2"]
    assert not [column for column in table.columns if column.name == "as matrices"], "finite everywhere"


def test_several_seeds_are_a_mean_and_a_deviation_over_those_that_ended(run, manifest) -> None:
    for seed, accuracy in enumerate((0.90, 0.92, 0.97)):
        run(f"s{seed}", seed=seed, final={"train_accuracy": 1.0, "test_accuracy": accuracy})
    run("s3", seed=3, status="interrupted", step=8, growth=1000.0, seconds=1e6)
    cells = [("resnet20", seed, f"s{seed}") for seed in range(5)]
    (section,) = sections([manifest(*cells)])
    shown = row(tables.accuracy_table(section, outcomes(section)), 0)
    assert shown["test accuracy (%): ours"] == f"93.00 ± {statistics.stdev([90, 92, 97]):.2f}"
    assert shown["test accuracy (%): paper"] == shown["test accuracy (%): difference"] == "–"
    assert shown["first layer's σmax, end / start"] == "× 2.00 ± 0.00"
    assert shown["time"] == "84 s ± 0 s"
    assert shown["seeds"] == "3 of 5"
    assert shown["status"] == "3 finished, 1 interrupted at step 8, 1 not run"


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([], "–"),
        ([5.0], "5"),
        ([1.0, 2.0, 6.0], "3 ± 2.65"),
        ([math.inf, math.inf], "∞"),
        ([5.0, math.inf, 2.0], "2 to ∞"),
        ([math.nan, 7.0], "7 to non-finite"),
    ],
)
def test_what_is_not_finite_in_some_seeds_is_a_span(values: list[float], shown: str) -> None:
    assert tables.spread(values, tables.digits) == shown


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (None, "not started"),
        ("interrupted", "interrupted at step 8"),
        ("running", "killed at step 8"),
        ("failed", "failed at step 8"),
        ("diverged", "diverged at step 8"),
    ],
)
def test_a_run_without_a_result_says_why(run, manifest, status: str | None, shown: str) -> None:
    run("a", status=status, step=8)
    (section,) = sections([manifest(("resnet20", 0, "a"))])
    found = outcomes(section)
    assert row(tables.accuracy_table(section, found), 0)["status"] == shown
    assert ("test_accuracy" in found[0].quantities) == (status == "diverged")


def test_claims_are_judged_by_runs_that_ended(run, manifest) -> None:
    run("a", network="plainnet20", final={"train_accuracy": 0.1, "test_accuracy": 0.1}, growth=1000.0)
    run("b", final={"train_accuracy": 0.9, "test_accuracy": 0.8})
    run("c", network="resnext20", status="interrupted", step=8)
    claims = {
        "plainnet20.test_accuracy <= 20": "holds",
        "plainnet20.first_layer_growth >= 100": "holds",
        "resnet20.test_accuracy >= 90": "fails",
        "resnext20.first_layer_growth >= 1": "not run",
        "resnext20.test_accuracy > resnet20.test_accuracy": "not run",
    }
    cells = [("plainnet20", 0, "a"), ("resnet20", 0, "b"), ("resnext20", 0, "c")]
    (section,) = sections([manifest(*cells, claims=list(claims))])
    judged = verdicts(section, outcomes(section))
    assert {each.claim: each.verdict for each in judged} == claims
    text = tables.markdown_section(section, tables.accuracy_table(section, outcomes(section)), judged, level=2)
    assert text.startswith(
        "## A study\n\nWhich of them learn?\n\n- **holds** (reduced): PlainNet-20 test accuracy (%) ≤ 20"
    )
    assert "\n\nReduced against our full size: base width 8 (full size: 16); 3 epochs (200).\n\n" in text


def test_without_a_study_there_is_no_column_of_the_paper(run) -> None:
    (section,) = sections([run("a|b").path])
    table = tables.accuracy_table(section, outcomes(section))
    assert not any("paper" in column.full_name for column in table.columns)
    assert tables.to_markdown(table).splitlines()[2].startswith(r"| a\|b | 99.00 | 95.00 |")


@pytest.mark.parametrize(
    ("form", "value", "shown"),
    [
        (tables.percent, math.nan, "non-finite"),
        (tables.factor, 1.5, "× 1.50"),
        (tables.factor, 14.0, "× 14"),
        (tables.factor, 286_123.0, "× 290,000"),
        (tables.factor, math.inf, "∞"),
        (tables.factor, math.nan, "non-finite"),
        (tables.signed, -0.004, "−0.00"),
        (tables.duration, 84.4, "84 s"),
        (tables.duration, 600.0, "10.0 min"),
        (tables.duration, 86_400.0, "24.0 h"),
    ],
)
def test_numbers_as_text(form, value: float, shown: str) -> None:
    assert form(value) == shown


def test_the_papers_deviations_are_shown_and_tested_against_ours(run, manifest) -> None:
    for seed, accuracy in enumerate((0.70, 0.72, 0.74)):
        run(f"s{seed}", seed=seed, final={"train_accuracy": 1.0, "test_accuracy": accuracy})
    folder = manifest(
        *[("resnet20", seed, f"s{seed}") for seed in range(3)],
        paper_values={"resnet20": {"test_accuracy": "72.51 ± 0.35", "train_accuracy": 100}},
        paper_runs=8,
    )
    (section,) = sections([folder])
    table = tables.accuracy_table(section, outcomes(section))
    row = dict(zip([column.full_name for column in table.columns], table.rows[0], strict=True))
    assert row["test accuracy (%): paper"] == "72.51 ± 0.35"
    assert row["test accuracy (%): ours"] == "72.00 ± 2.00"
    p = stats.ttest_ind_from_stats(72, 2, 3, 72.51, 0.35, 8, equal_var=False).pvalue
    assert row["test accuracy (%): Welch's p"] == f"{p:.2g}"
    assert row["training accuracy (%): Welch's p"] == "–"  # the paper's has no deviation


def test_csv_and_latex_hold_the_same_cells(run, manifest) -> None:
    run("a", growth=12345.0)
    (section,) = sections([manifest(("resnet20", 0, "a"))])
    table = tables.accuracy_table(section, outcomes(section))
    rows = list(csv.reader(io.StringIO(tables.to_csv(table))))
    assert rows[0] == [column.full_name for column in table.columns]
    assert rows[1:] == [list(row) for row in table.rows]
    latex = tables.to_latex(table)
    assert latex.startswith(r"\begin{tabular}{lrr")
    assert r"training accuracy (\%): ours & " in latex
    assert r"$\times$ 12,000" in latex
    body = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert len(body) == 2
    assert len({line.count("&") for line in body}) == 1


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1+1", "-x", "@SUM(A1)", "\t=1"])
def test_a_spreadsheet_computes_no_cell(name: str) -> None:
    columns = [tables.Column("", name, numeric=False), tables.Column("", "b")]
    table = tables.Table(columns, [[name, "-0.5"], ["plain", "+inf"]])
    rows = list(csv.reader(io.StringIO(tables.to_csv(table))))
    assert rows == [[f"'{name}", "b"], [f"'{name}", "-0.5"], ["plain", "+inf"]]
