from __future__ import annotations

import itertools

import pytest

from repro.errors import UserError
from repro.theory import STATEMENTS, Case, Condition, Result, chosen

SAID, UNSAID, OTHER = Condition(text="s", place="Eq. 1"), Condition(text="a condition"), Condition(text="another")


def case(holds: bool, *drops: Condition, instead: str = "") -> Case:
    return Case(setting="s", holds=holds, found="f", drops=drops, instead=instead)


@pytest.mark.parametrize(
    ("given", "conditions"),
    [
        (case(True), "complete"),
        (case(True, UNSAID), "as stated"),
        (case(True, SAID), "beside"),
        (case(True, UNSAID, SAID), "beside"),
        (case(True, instead="something else"), "beside"),
    ],
)
def test_how_a_case_stands_to_the_statement_follows_from_what_it_drops(given: Case, conditions: str) -> None:
    assert given.conditions == conditions


@pytest.mark.parametrize(
    ("cases", "verdict"),
    [
        ([case(True)], "holds"),
        ([case(True), case(True, UNSAID)], "holds"),
        ([case(True), case(False, UNSAID)], "holds under a condition"),
        ([case(True), case(False, SAID)], "holds"),
        ([case(True), case(False, UNSAID, SAID)], "holds"),
        ([case(True), case(False, instead="something else")], "holds"),
        ([case(True), case(False)], "not supported"),
        ([case(True, UNSAID)], "not supported"),
        ([], "not supported"),
    ],
)
def test_the_verdict_follows_from_the_cases(cases: list[Case], verdict: str) -> None:
    for order in itertools.permutations(cases):
        assert Result(computed="c", cases=order).verdict == verdict


def test_every_missing_condition_is_named_once() -> None:
    cases = [case(True), case(False, UNSAID), case(False, UNSAID, OTHER), case(True, OTHER)]
    assert Result(computed="c", cases=cases).verdict == "holds under a condition and another"


def test_statements_are_chosen_by_name_or_paper_in_reading_order() -> None:
    assert chosen([]) == list(STATEMENTS)
    assert set(chosen(["nguyen"])) | set(chosen(["oyedotun"])) == set(STATEMENTS)
    assert not set(chosen(["nguyen"])) & set(chosen(["oyedotun"]))
    assert chosen(["nguyen-lemma-2.1", "oyedotun-theorem-1"]) == ["oyedotun-theorem-1", "nguyen-lemma-2.1"]
    with pytest.raises(UserError, match="nearest: oyedotun-theorem-1"):
        chosen(["oyedotun-theorem1"])


def test_both_papers_statements_are_there() -> None:
    places = " ".join(f"{each.paper} {each.place}" for each in STATEMENTS.values())
    for place in [
        *(f"Theorem {number}" for number in (1, 2, 3)),
        *(f"Proposition {number}" for number in (1, 2, 3)),
        *(f"Lemma {number}" for number in (1, 2, 3)),
        "Lemma 2.1",
        "Lemma 3.2",
        *(f"Theorem 3.4 ({number})" for number in (1, 2, 3, 4)),
        "Theorem C.3",
        "Remarks 1 to 3",
        "Remarks 4 to 6",
        "6.5 (b)",
        "6.5 (c)",
        "Eq. 23 to 26",
    ]:
        assert place in places
