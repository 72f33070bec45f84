"""A rehearsal on a real SLURM that is set in many ways, and its verdicts on what was seen."""

from __future__ import annotations

import pytest

from tests.cluster.rehearsals import CASES, Case, play


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_a_rehearsal_tells_the_truth(case: Case) -> None:
    verdicts = play(case)
    assert {verdict.event: verdict.against for verdict in verdicts} == case.truth
    assert all(verdict.known for verdict in verdicts)
    assert case.words in str(verdicts[-1])
