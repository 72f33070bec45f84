"""The statements that are asked for, and their experiments, which are imported when they are run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from repro.errors import unknown
from repro.importing import load
from repro.theory.statement import STATEMENTS

if TYPE_CHECKING:
    from repro.theory.result import Result

PAPERS = ("oyedotun", "nguyen")


def chosen(names: Sequence[str]) -> list[str]:
    """The statements that are asked for, in reading order: by name, or a paper's; all if none is named."""
    for name in names:
        if name not in STATEMENTS and name not in PAPERS:
            raise unknown("statement", name, [*PAPERS, *STATEMENTS], extra="repro theory --list shows all")
    return [name for name in STATEMENTS if not names or name in names or name.partition("-")[0] in names]


def examine(name: str, seed: int = 0) -> Result:
    """Test a statement of the papers by its numerical experiment, which takes seconds.

    Args:
        name: A key of `repro.theory.STATEMENTS`, such as ``oyedotun-theorem-2`` (`repro theory --list` lists them).
        seed: Seed of all random numbers.

    Returns:
        The verdict, the cases from which it follows, their numbers, and figures.

    Example:
        >>> print(examine("oyedotun-lemma-1").verdict)
        holds
    """
    result: Result = load(f"repro.theory.{STATEMENTS[name].experiment}")(seed)
    return result
