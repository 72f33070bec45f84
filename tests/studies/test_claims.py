from __future__ import annotations

import math

import pytest

from repro.errors import UserError
from repro.studies.claims import check, evaluate

VALUES = {
    "a": {"test_accuracy": [90.0, 92.0], "seconds": [3.0]},
    "b.c-1": {"test_accuracy": [91.0, 80.0]},
    "n": {"test_accuracy": [math.nan]},
}


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        ("a.test_accuracy >= 90", "holds"),
        ("a.test_accuracy > 90", "fails"),  # one seed does not
        ("a.test_accuracy > b.c-1.test_accuracy", "holds"),  # 91 against 85.5 in the mean
        ("b.c-1.test_accuracy > a.test_accuracy", "fails"),
        ("80 <= b.c-1.test_accuracy", "holds"),
        ("a.train_accuracy > 0", "not run"),
        ("missing.test_accuracy > 0", "not run"),
        ("n.test_accuracy > 0", "fails"),
        ("n.test_accuracy <= 0", "fails"),
    ],
)
def test_verdicts(claim: str, verdict: str) -> None:
    assert evaluate(claim, VALUES).verdict == verdict


def test_the_compared_numbers_are_told() -> None:
    assert evaluate("a.test_accuracy > b.c-1.test_accuracy", VALUES).detail == "91 > 85.5"
    assert evaluate("a.test_accuracy >= 90", VALUES).detail == "90, 92 >= 90"


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("a.test_accuracy is good", "cannot be read"),
        ("good > 3", "'good' is neither a number nor CELL.QUANTITY"),
        ("x.test_accuracy > 3", "unknown cell 'x'"),
        ("a.test_acuracy > 3", "nearest: test_accuracy"),
    ],
)
def test_claims_that_make_no_sense_are_refused(claim: str, text: str) -> None:
    with pytest.raises(UserError, match=text):
        check(claim, VALUES)
