"""Statements stand in the papers' words, and cases cite the conditions of their statement."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from repro.theory import STATEMENTS, Condition, Statement, examine

QUOTATIONS: dict[str, str] = yaml.safe_load(Path(__file__).with_name("quotations.yaml").read_text(encoding="utf-8"))


def not_quoted(statement: Statement, quotation: str) -> str | None:
    """The first piece of a statement, or of a condition that the paper states, that the passage lacks in this order."""
    for text in (statement.text, *(need.text for need in statement.conditions.values() if need.place)):
        rest = " ".join(quotation.split())
        for piece in filter(None, map(str.strip, text.split("…"))):
            _, quoted, rest = rest.partition(piece)
            if not quoted:
                return piece
    return None


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_and_its_conditions_are_in_the_papers_words(name: str) -> None:
    assert not_quoted(STATEMENTS[name], QUOTATIONS[name]) is None
    assert len(STATEMENTS[name].text) < 500, "quoted, not copied out"


@pytest.mark.parametrize("name", ["oyedotun-section-6.5b", "oyedotun-theorem-1"])
def test_a_case_that_decides_meets_what_the_paper_asks_for(name: str) -> None:
    """No case without a common basis, or whose dominance fades, decides."""
    for case in examine(name).cases:
        without = ("no common basis", "1 − 2^−(l+1)")
        assert (case.conditions == "beside") >= any(word in case.setting for word in without), case.setting


def test_every_passage_is_a_statements() -> None:
    assert set(QUOTATIONS) == set(STATEMENTS)


@pytest.mark.parametrize(
    ("changes", "piece"),
    [
        ({"text": "If Φ(U, V) < log(2)/N, then the training error is zero, and so is the test error."}, "and so is"),
        ({"text": "then the training error is zero. … If Φ(U, V) < log(2)/N"}, "If Φ"),
        ({"conditions": {"own": Condition(text="for ten classes", place="Lemma 2.1")}}, "for ten classes"),
    ],
)
def test_nothing_can_be_added_to_the_paper(changes: dict[str, object], piece: str) -> None:
    statement = replace(STATEMENTS["nguyen-lemma-2.1"], **changes)  # type: ignore[arg-type]
    assert piece in str(not_quoted(statement, QUOTATIONS["nguyen-lemma-2.1"]))


def test_what_the_paper_does_not_say_is_not_held_against_it() -> None:
    statement = replace(STATEMENTS["nguyen-lemma-2.1"], conditions={"own": Condition(text="for ten classes")})
    assert not_quoted(statement, QUOTATIONS["nguyen-lemma-2.1"]) is None
