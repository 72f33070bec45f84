from __future__ import annotations

import pytest

from repro import figures


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without figures, where nobody looks at them: drawing takes longer than small runs."""
    monkeypatch.setattr(figures, "draw", lambda runs, names=None: {})
    monkeypatch.setattr(figures.training, "has_curves", lambda runs: False)
