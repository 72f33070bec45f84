"""Both papers' statements as numerical experiments, descent paths and loss surfaces.

Importing this package imports neither torch nor Matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from repro.theory.statement import PAPERS, STATEMENTS, Condition, Statement, chosen, examine

if TYPE_CHECKING:
    from repro.theory.result import Case, Result

__all__ = ["PAPERS", "STATEMENTS", "Case", "Condition", "Result", "Statement", "chosen", "examine"]


def __getattr__(name: str) -> Any:
    """Import what needs Matplotlib's panels when it is first asked for."""
    if name not in ("Case", "Result"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from repro.theory import result

    return getattr(result, name)
