from __future__ import annotations

import itertools

import pytest

from repro.errors import UserError
from repro.theory import STATEMENTS, Case, Result, chosen


def case(conditions: str, holds: bool) -> Case:
    return Case(setting="s", conditions=conditions, holds=holds, found="f")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cases", "verdict"),
    [
        ([case("complete", True)], "holds"),
        ([case("complete", True), case("as stated", True)], "holds"),
        ([case("complete", True), case("as stated", False)], "holds under a condition"),
        ([case("complete", True), case("beside", False)], "holds"),
        ([case("complete", True), case("complete", False)], "not supported"),
        ([case("as stated", True)], "not supported"),
        ([], "not supported"),
    ],
)
def test_the_verdict_follows_from_the_cases(cases: list[Case], verdict: str) -> None:
    assert Result(computed="c", cases=cases, under="a condition").verdict == verdict
    for order in itertools.permutations(cases):
        assert Result(computed="c", cases=order, under="a condition").verdict == verdict


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
