"""The paper's tables beside its text."""

from __future__ import annotations

import pytest

from repro.theory.nguyen import published


def test_published_tables_are_consistent() -> None:
    for name, values in published.TABLE_4.items():
        assert len(values) == len(published.TABLE_5[name]) == 4
    assert len(published.decreases("SGD")) == len(published.decreases("rand")) == 6
    assert max(published.decreases("SGD")) == pytest.approx(8.06)
    assert max(published.decreases("rand")) == pytest.approx(9.16)
    assert published.gains()["CNN13 softplus"] == pytest.approx(-0.06)
