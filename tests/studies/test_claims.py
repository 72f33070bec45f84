from __future__ import annotations

import math

import pytest
from scipy import stats

from repro.errors import UserError
from repro.studies.claims import Summary, check, evaluate, parse, published, summary, welch

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
    told = "; holds in 2 of 2 seeds (perfectly singular of these: 1, 0)"
    assert evaluate("a.weights_infinite > b.weights_infinite | Fig. 7", values).detail == f"2.5 > 0{told}"
    assert evaluate("b.weights_infinite == 0 | Fig. 7", values).detail == "0 == 0"


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
    ],
)
def test_claims_that_make_no_sense_or_are_not_the_papers_are_refused(claim: str, text: str) -> None:
    with pytest.raises(UserError, match=text) as refusal:
        check(claim, VALUES)
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
    check(claim, VALUES)


def test_a_claim_knows_its_bounds() -> None:
    bounds = {"3 <= a.seconds <= 4 | x": (3, 4), "a.seconds == 3 | x": (3, 3), "4 > a.seconds | x": (-math.inf, 4)}
    assert {claim: parse(claim).bounds for claim in bounds} == bounds
    assert parse("a.seconds < b.c-1.seconds | x").bounds == (-math.inf, math.inf)


def test_papers_values_with_and_without_deviations() -> None:
    assert published("62.81 ± 0.39", 8) == Summary(62.81, 0.39, 8)
    assert published(99.57, 8) == Summary(99.57, None, 1)
    for value in ("good", "nan", "1e999", "3 ± inf", "3 ±"):
        with pytest.raises(UserError, match=f"paper value '{value}' is neither"):
            published(value, 1)


def test_welchs_p_is_scipys_and_nan_without_a_spread() -> None:
    one, other = [1.0, 2.0, 4.0], [3.0, 5.0, 9.0, 4.0]
    wanted = stats.ttest_ind(one, other, equal_var=False).pvalue
    assert welch(summary(one), summary(other)) == pytest.approx(wanted, rel=1e-12)
    assert math.isnan(welch(summary(one), Summary(3.0, None, 1)))
    assert welch(Summary(1.0, 0.0, 2), Summary(2.0, 0.0, 2)) == 0


def test_means_and_deviations() -> None:
    assert summary([5.0]) == (5.0, None, 1)
    assert summary([1e200, -1e200]) == (0.0, math.inf, 2)
    assert summary([math.inf, 1.0])[0] == math.inf
    for values in ([math.inf, -math.inf], [1e308, 1e308]):  # of a run that diverged, or a stranger's
        assert math.isnan(summary(values).mean)
        assert evaluate("a.q > b.q", {"a": {"q": dict(enumerate(values))}, "b": {"q": {0: 1.0}}}).verdict != "not run"
    mean, deviation, runs = summary([1.0, 2.0, 4.0])
    assert (mean, deviation, runs) == (pytest.approx(7 / 3), pytest.approx(1.527525), 3)
