from __future__ import annotations

import math

import pytest
from scipy import stats

from repro.errors import UserError
from repro.studies.spread import Summary, chance, published, summary, welch


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
    assert math.isnan(welch(Summary(1.0, 0.0, 2), Summary(2.0, 0.0, 2))), "nothing to test by"
    assert welch(Summary(1.0, 0.0, 2), Summary(2.0, 0.1, 2)) > 0
    assert math.isnan(welch(summary([1.0, math.inf]), summary(other)))


def test_a_p_value_claims_no_digits_that_a_few_runs_do_not_have() -> None:
    assert [chance(p) for p in (0.5, 0.04312, 0.001, 0.0009, 3e-17, 0.0)] == ["0.5", "0.043", "0.001", *["< 0.001"] * 3]


def test_means_and_deviations() -> None:
    assert summary([5.0]) == (5.0, None, 1)
    assert summary([1e200, -1e200]) == (0.0, math.inf, 2)
    assert summary([math.inf, 1.0])[0] == math.inf
    for values in ([math.inf, -math.inf], [1e308, 1e308]):  # of a run that diverged, or a stranger's
        assert math.isnan(summary(values).mean)
    mean, deviation, runs = summary([1.0, 2.0, 4.0])
    assert (mean, deviation, runs) == (pytest.approx(7 / 3), pytest.approx(1.527525), 3)
