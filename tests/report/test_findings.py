"""FINDINGS names what failed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from repro.report.outcomes import outcomes, verdicts
from repro.report.sources import of_cells
from repro.studies.files import load, names

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_every_claim_that_fails_or_is_mixed_is_in_findings_with_a_cause_and_no_other() -> None:
    failing, read = set(), {}  # type: ignore[var-annotated]
    for study in map(load, names()):
        section = of_cells(study, None, study.cells(), [ROOT / "results" / study.folder(None)], command="")
        judged = verdicts(section, outcomes(section, read))
        failing |= {(study.paper, each.claim.split(" | ")[0]) for each in judged if each.verdict in ("fails", "mixed")}
    text = (ROOT / "FINDINGS.md").read_text(encoding="utf-8")
    part = text[text.index("## Claims that fail") : text.index("## Two kinds of infinite")]
    told, paper = set(), ""
    for line in part.splitlines():
        if heading := re.match(r"\| (Oyedotun|Nguyen) \|", line):
            paper = heading[1]
        elif row := re.fullmatch(r"\| [^|]+ \| `([^`]+)` \| [^|]+ \| ([^|]+) \|", line):
            assert row[2].strip(), line
            told.add((paper, row[1]))
    assert told == failing
