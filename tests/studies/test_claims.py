from __future__ import annotations

import math

import pytest

from repro.errors import UserError
from repro.studies.claims import check, parse

CELLS = ["a", "b.c-1", "one"]


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("a.test_accuracy is good", "cannot be read"),
        ("nan < a.test_accuracy", "'nan' is neither a number nor CELL.QUANTITY"),
        ("80 >= a.test_accuracy >= 70 | Table 1", "cannot be read"),
        ("good > 3 | Table 1 | why", "'good' is neither a number nor CELL.QUANTITY"),
        ("1 < x.test_accuracy < 3 | Table 1", "unknown cell 'x'"),
        ("1 < a.test_acuracy < 3 | Table 1", "nearest: test_accuracy"),
        ("a.test_accuracy > one.test_accuracy", "names no source in the paper"),
        ("a.test_accuracy == 3 | our own idea", "names no source in the paper"),
        ("a.test_accuracy == 3 | Figures of ours", "names no source in the paper"),
        ("a.test_accuracy > 3 | Table 1 (99)", "has one bound; write LOW <= CELL.QUANTITY <= HIGH"),
        ("3 <= a.test_accuracy | Fig. 2", "has one bound"),
        ("90 <= a.test_accuracy <= 80 | Table 1", "can never hold, or always does"),
        ("a.test_accuracy <= a.test_accuracy | Table 1", "can never hold, or always does"),
        ("3 <= a.test_accuracy <= 1e400 | Table 1", "'1e400' is neither a number"),
        ("٣ <= a.test_accuracy <= 80 | Table 1", "'٣' is neither a number"),
        ("1_0 <= a.test_accuracy <= 80 | Table 1", "'1_0' is neither a number"),
        ("3 <= a.test_accuracy <= 80 | Table 1 | why | more", "has more than three parts"),
    ],
)
def test_claims_that_make_no_sense_or_are_not_the_papers_are_refused(claim: str, text: str) -> None:
    with pytest.raises(UserError, match=text) as refusal:
        check(claim, CELLS)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "claim",
    [
        "90 <= a.test_accuracy <= 92 | Table 1 (91)",
        "a.test_accuracy == 3 | Fig. 9",
        "a.test_accuracy > b.c-1.test_accuracy | section 6.5 (c)",
        "a.test_accuracy > 90 | Remarks 4 to 6 | the paper gives no number",
    ],
)
def test_a_claim_has_a_source_and_both_bounds_or_says_why_not(claim: str) -> None:
    check(claim, CELLS)


def test_a_claim_knows_its_bounds() -> None:
    bounds = {"3 <= a.seconds <= 4 | x": (3, 4), "a.seconds == 3 | x": (3, 3), "4 > a.seconds | x": (-math.inf, 4)}
    assert {claim: parse(claim).bounds for claim in bounds} == bounds
    assert parse("a.seconds < b.c-1.seconds | x").bounds == (-math.inf, math.inf)
