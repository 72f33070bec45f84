from __future__ import annotations

import pytest

from repro import figures


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without figures, where nobody looks at them: drawing takes longer than small runs."""
    monkeypatch.setattr(figures, "chosen", lambda runs, names=None: [])
