"""Both papers' statements as numerical experiments, descent paths and loss surfaces.

Importing this package imports neither torch nor Matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from repro.importing import lazily
from repro.theory.statement import PAPERS, STATEMENTS, Condition, Statement, chosen, examine

if TYPE_CHECKING:
    from repro.theory.result import Case, Result

__all__ = ["PAPERS", "STATEMENTS", "Case", "Condition", "Result", "Statement", "chosen", "examine"]
__getattr__ = lazily(__name__, {"Case": "result", "Result": "result"})
