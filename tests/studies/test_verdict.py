from __future__ import annotations

import math

import pytest
from scipy import stats

from repro.studies.verdict import evaluate

VALUES = {
    "a": {"test_accuracy": {0: 90.0, 1: 92.0}, "seconds": {0: 3.0}},
    "b.c-1": {"test_accuracy": {0: 81.0, 1: 80.0}},
    "c": {"test_accuracy": {0: 91.0, 1: 80.0}},
    "d": {"test_accuracy": {0: 80.0, 1: 89.0}},
    "apart": {"test_accuracy": {5: 80.0, 6: 80.0}},
    "one": {"test_accuracy": {7: 91.0}},
    "n": {"test_accuracy": {0: math.nan}},
    "infinite": {"seconds": {0: math.inf}, "largest_loss": {0: math.inf, 1: math.inf, 2: 5.0}},
}


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        ("a.test_accuracy >= 90", "holds"),
        ("a.test_accuracy > 90", "mixed"),  # one seed does not
        ("a.test_accuracy > 92", "fails"),
        ("91 <= a.test_accuracy < 92 | Table 1", "fails"),  # each bound in some seed, both in none
        ("90 <= a.test_accuracy < 92 | Table 1", "mixed"),
        ("a.test_accuracy > b.c-1.test_accuracy", "holds"),
        ("b.c-1.test_accuracy < a.test_accuracy", "holds"),
        ("a.test_accuracy > c.test_accuracy", "mixed"),  # in the mean and in seed 1
        ("a.test_accuracy > d.test_accuracy", "mixed"),  # in both seeds, but within the spread
        ("d.test_accuracy > a.test_accuracy", "fails"),
        ("a.test_accuracy > apart.test_accuracy", "not run"),  # of no seed both
        ("one.test_accuracy >= c.test_accuracy", "holds"),  # one value stands against each
        ("one.test_accuracy > c.test_accuracy", "mixed"),
        ("infinite.largest_loss > a.test_accuracy", "holds"),  # in seeds 0 and 1; no spread to test by
        ("infinite.largest_loss == inf | Fig. 9", "mixed"),
        ("b.c-1.test_accuracy > a.test_accuracy", "fails"),
        ("80 <= b.c-1.test_accuracy", "holds"),
        ("80 <= b.c-1.test_accuracy <= 81 | Table 1", "holds"),
        ("80 < b.c-1.test_accuracy <= 81 | Table 1", "mixed"),
        ("80 <= b.c-1.test_accuracy < 81 | Table 1", "mixed"),
        ("one.test_accuracy == 91 | Table 1", "holds"),
        ("one.test_accuracy == 90 | Table 1", "fails"),
        ("infinite.seconds == inf | Fig. 9", "holds"),
        ("a.train_accuracy > 0", "not run"),
        ("missing.test_accuracy > 0", "not run"),
        ("n.test_accuracy > 0", "fails"),
        ("n.test_accuracy <= 0", "fails"),
    ],
)
def test_verdicts(claim: str, verdict: str) -> None:
    assert evaluate(claim, VALUES).verdict == verdict


def test_the_compared_numbers_are_told() -> None:
    detail = evaluate("a.test_accuracy > b.c-1.test_accuracy", VALUES).detail
    p = stats.ttest_ind([90, 92], [81, 80], equal_var=False, alternative="greater").pvalue
    assert 0.001 < p < 0.05
    assert detail == f"91 > 80.5 (Welch's one-sided p = {p:.2g}); holds in 2 of 2 seeds"
    assert "91 > 85.5 is within the spread" in evaluate("a.test_accuracy > c.test_accuracy", VALUES).detail
    assert evaluate("a.test_accuracy >= 90", VALUES).detail == "90, 92 >= 90; holds in 2 of 2 seeds"
    assert evaluate("80 <= a.test_accuracy < 99 | Table 1", VALUES).detail == "80 <= 90, 92 < 99; holds in 2 of 2 seeds"
    assert evaluate("one.test_accuracy >= 90", VALUES).detail == "91 >= 90"


def test_of_a_count_of_infinite_condition_numbers_is_told_how_many_are_perfectly_singular() -> None:
    values = {
        "a": {"weights_infinite": {0: 3.0, 1: 2.0}, "weights_singular": {0: 1.0, 1: 0.0}},
        "b": {"weights_infinite": {0: 0.0}, "weights_singular": {0: 0.0}},
    }
    told = "; holds in 0 of 2 seeds (perfectly singular of these: 1, 0)"
    assert evaluate("a.weights_infinite == 0 | Fig. 7", values).detail == f"3, 2 == 0{told}"
    told = " (no test: one seed of b); holds in 2 of 2 seeds (perfectly singular of these: 1, 0)"
    assert evaluate("a.weights_infinite > b.weights_infinite | Fig. 7", values).detail == f"2.5 > 0{told}"
    assert evaluate("b.weights_infinite == 0 | Fig. 7", values).detail == "0 == 0"


def test_without_a_spread_there_is_no_test() -> None:
    values = {"a": {"seconds": {0: 0.0, 1: 0.0}}, "b": {"seconds": {0: 0.0, 1: 0.0}}, "c": {"seconds": {0: 7.0}}}
    told = evaluate("a.seconds < b.seconds", values)
    assert (told.verdict, told.detail) == ("fails", "0 < 0 (no spread over the seeds); holds in 0 of 2 seeds")
    told = evaluate("a.seconds <= b.seconds", values)
    assert (told.verdict, told.detail) == ("holds", "0 <= 0 (no spread over the seeds); holds in 2 of 2 seeds")
    assert evaluate("a.seconds < c.seconds", values).detail == "0 < 7 (no test: one seed of c); holds in 2 of 2 seeds"


def test_a_p_that_is_tiny_is_not_printed_as_zero() -> None:
    values = {"a": {"seconds": {0: 1.0, 1: 1.0, 2: 1.0 + 1e-9}}, "b": {"seconds": {0: 9.0, 1: 9.0, 2: 9.0 + 1e-9}}}
    assert "(Welch's one-sided p < 0.001)" in evaluate("a.seconds < b.seconds", values).detail


ASKED = {"a": [0, 1, 2], "b": [0, 1, 2], "plain": [0], "away": []}


def test_seeds_that_are_asked_for_and_were_not_run_are_said() -> None:
    values = {"a": {"seconds": {0: 3.0, 1: 5.0}}, "b": {"seconds": {1: 4.0}}, "plain": {"seconds": {0: 9.0}}}
    told = evaluate("a.seconds > 1", values, asked=ASKED)
    assert (told.verdict, told.detail) == ("holds", "3, 5 > 1; holds in 2 of 2 seeds; not run: seed 2 of a")
    # b has one of three so far, which stands against its own seed alone; plain's only one against each
    told = evaluate("a.seconds > b.seconds", values, asked=ASKED)
    assert told.verdict == "holds"
    assert told.detail == "5 > 4; not run: seed 2 of a, seeds 0 and 2 of b"
    assert "holds in 2 of 2 seeds" in evaluate("a.seconds < plain.seconds", values, asked=ASKED).detail
    assert evaluate("b.test_loss > 1", values, asked=ASKED).detail == "b has no test_loss"
    assert evaluate("b.seconds > 1", {}, asked=ASKED).detail == "b was not run"


def test_what_is_not_part_of_a_size_is_left_out_of_it() -> None:
    for claim in ("away.seconds > 1", "a.seconds > away.seconds"):
        told = evaluate(claim, {"a": {"seconds": {0: 1.0}}}, asked=ASKED)
        assert (told.verdict, told.detail) == ("left out", "away: not part of this size")


def test_a_run_that_diverged_has_nothing_that_a_claim_asks_for() -> None:
    values = {"a": {"seconds": {0: 1.0, 1: 1.0}, "test_accuracy": {1: 10.0}}, "plain": {"test_accuracy": {0: 9.0}}}
    told = evaluate("5 <= a.test_accuracy <= 20", values, asked=ASKED, diverged={"a": [0]})
    assert told.verdict == "mixed"
    assert told.detail == "5 <= 10, diverged <= 20; holds in 1 of 2 seeds; not run: seed 2 of a"
    told = evaluate("a.test_accuracy > plain.test_accuracy", values, asked=ASKED, diverged={"a": [0, 1]})
    assert told.detail.startswith("10 > 9 (no test: one seed of plain); holds in 1 of 2 seeds")
    told = evaluate("5 <= b.test_accuracy <= 20", values, asked=ASKED, diverged={"b": [0, 1]})
    assert (told.verdict, told.detail) == (
        "fails",
        "5 <= diverged, diverged <= 20; holds in 0 of 2 seeds; not run: seed 2 of b",
    )
    assert evaluate("a.seconds > 0", values, diverged={"a": [0]}).verdict == "holds", "it took its time"


def test_cells_that_all_diverged_tell_nothing_of_their_order() -> None:
    values = {"a": {"size": {0: 7.5, 1: 9.0}}, "b": {"size": {0: 7.5, 1: 3.0}}}
    claim, asked = "a.size > b.size", {"a": [0, 1], "b": [0, 1]}
    told = evaluate(claim, values, asked=asked, diverged={"a": [0, 1], "b": [0, 1]})
    assert (told.verdict, told.detail) == ("left out", "a and b diverged")
    told = evaluate(claim, values, asked=asked, diverged={"a": [0], "b": [0]})
    assert (told.verdict, told.detail) == ("holds", "9 > 3"), "the other seed tells"
    assert evaluate(claim, values, asked=asked, diverged={"a": [0, 1]}).verdict == "mixed", "one of them trained"
    for alone in ("a.size > 8", "a.size <= a.size"):
        assert evaluate(alone, values, diverged={"a": [0, 1]}).verdict != "left out", "one cell has no other"
