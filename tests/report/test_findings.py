"""FINDINGS names what failed, and how many infinite κ are of which kind."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path

import pytest

from repro.measurements import MEASUREMENTS
from repro.measurements.kappa import at_end, first_layer_growth
from repro.records import RunDirectory, readings
from repro.report.cause import table
from repro.report.outcomes import RunResult, outcomes, verdicts
from repro.report.sources import of_cells
from repro.report.tables import to_markdown
from repro.studies.files import load, names
from repro.studies.forecast import cases, forecasts

ROOT = Path(__file__).parents[2]
READ: dict[Hashable, RunResult] = {}
"""Runs that were read: the tests share them."""


@pytest.mark.slow
def test_every_claim_that_fails_or_is_mixed_is_in_findings_with_a_cause_and_no_other() -> None:
    failing = set()
    for study in map(load, names()):
        section = of_cells(study, None, study.cells(), [ROOT / "results" / study.folder(None)], command="")
        judged = verdicts(section, outcomes(section, READ))
        failing |= {(study.paper, each.claim.split(" | ")[0]) for each in judged if each.verdict in ("fails", "mixed")}
    text = (ROOT / "FINDINGS.md").read_text(encoding="utf-8")
    part = text[text.index("## Claims that fail") : text.index("## Two kinds of infinite")]
    told, paper = set(), ""
    for line in part.splitlines():
        if heading := re.match(r"\| (Oyedotun|Nguyen|Ours) \|", line):
            paper = heading[1].replace("Ours", "")
        elif row := re.fullmatch(r"\| [^|]+ \| `([^`]+)` \| [^|]+ \| ([^|]+) \|", line):
            assert row[2].strip(), line
            told.add((paper, row[1]))
    assert told == failing


_RUNS = {
    "demo": "demo/plainnet110",
    "Table 1": "oyedotun-table1/plainnet110",
    "Table 2": "oyedotun-table2/plainnet110",
    "Table 3": "oyedotun-table3/plainnet110",
    "section 6.3": "oyedotun-depth200/plainnet200",
    "section 6.4": "oyedotun-linear/plainnet164",
}


@pytest.mark.parametrize("name", _RUNS)
def test_findings_counts_both_kinds_of_infinite_as_the_records_have_them(name: str) -> None:
    text = (ROOT / "FINDINGS.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| {name},.* \| (\d+) \| (\d+) / (\d+) \| (\d+) / (\d+) \|$", text, re.MULTILINE)
    assert row is not None
    (run,) = (ROOT / "results").glob(f"{_RUNS[name]}-seed0-*")
    table = readings(RunDirectory(run))
    found = []
    for kappa in MEASUREMENTS["representations"].kappas:
        counts = kappa.quantities.values(table)
        found += [
            len(at_end(kappa.table(table))),
            *(counts[f"{kappa.key}_{kind}"] for kind in ("infinite", "singular")),
        ]
    assert [int(number) for number in row.groups()] == [*found[:3], *found[4:]]


_COLUMNS = {
    "test %": "test_accuracy",
    "singular, channel mode": "representations_infinite",
    "singular, as matrices": "matrix_infinite",
    "median κ as matrices": "matrix_median",
    "median κ of the operators": "operators_median",
    "first layer grows": "first_layer_growth",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in names() if name.startswith("beyond-")])
def test_tables_of_our_own_studies_have_the_records_numbers_seed_by_seed(name: str) -> None:
    text = (ROOT / "FINDINGS.md").read_text(encoding="utf-8")
    study = load(name)
    section = of_cells(study, None, study.cells(), [ROOT / "results" / study.folder(None)], command="")
    measured: dict[str, list[dict[str, float]]] = {}
    for outcome in outcomes(section, READ):
        if outcome.cell.run is not None:
            measured.setdefault(outcome.cell.label, []).append(dict(outcome.quantities))
    heading = f"(`repro study run {name}`)\n"
    assert (heading in text) == bool(measured), "a study that was run has its part, and no other"
    part = text.partition(heading)[2].partition("\n#")[0]
    columns: list[str] = []
    compared = 0
    for line in re.findall(r"^\| (.+) \|$", part, re.MULTILINE):
        values = line.split(" | ")
        columns = values if "test %" in values else columns
        for column, told in zip(columns, values, strict=True) if (label := re.search(r"`(.+)`", values[0])) else []:
            if column in _COLUMNS and told != "–":
                found = [quantities[_COLUMNS[column]] for quantities in measured[label[1]]]
                shown = [_as_shown(value, number) for value, number in zip(found, told.split(", "), strict=True)]
                assert shown == told.split(", "), (label[1], column, found)
                compared += 1
    assert compared or not measured


@pytest.mark.slow
def test_the_forecast_is_that_of_the_records() -> None:
    told, damage = cases([ROOT / "results"])
    rows = to_markdown(table(forecasts(told))).splitlines()
    text = (ROOT / "FINDINGS.md").read_text(encoding="utf-8")
    part = text.partition("## What is cause, what is company")[2].partition("\n#")[0]
    shown = re.findall(r"^\| (?:before|after) .+\|$", part, re.MULTILINE)
    assert len(shown) == 10
    assert not damage
    assert set(shown) <= set(rows)
    assert f"{len(told)} runs of {len({case.study for case in told})} studies" in part
    assert f"of which {sum(case.trains for case in told)} train" in part
    own = [case for case in told if case.study.startswith("beyond-")]
    for some, shown_as in ([case for case in told if case not in own], "−0.71 (p = 1.5e-05)"), (told, "−0.37"):
        (kappa,) = (
            f
            for f in forecasts(some)
            if "as matrices" in f.reading and f.reading.startswith("median") and "20" in f.when
        )
        assert f"{kappa.rho:.2f}".replace("-", "−") == shown_as.split()[0]
        assert shown_as in part


def _as_shown(value: float, told: str) -> str:
    return f"{value:,.{len(told.partition('.')[2])}f}"


def test_the_first_layer_grows_by_one_gradient_at_any_rate_and_momentum() -> None:
    found = {}
    for run in (ROOT / "results" / "oyedotun-search").glob("plainnet110-*-seed0-*"):
        rate, momentum = map(float, run.name.split("-")[1:3])
        growth = first_layer_growth(readings(RunDirectory(run)))  # as claims and tables have it
        assert growth is not None
        found[rate, momentum] = growth * (1 - momentum) / rate
    assert len(found) == 12
    assert f"{min(found.values()) / 1e6:.2f} to {max(found.values()) / 1e6:.2f} million" in (
        ROOT / "FINDINGS.md"
    ).read_text(encoding="utf-8")
