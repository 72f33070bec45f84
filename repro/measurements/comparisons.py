"""The grammar of statements about numbers, which claims of studies and rules that end a run share. Imports no torch."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "==": operator.eq,
}
COMPARISON = re.compile(
    r"(?:(?P<low>\S+)\s+(?P<first><=|<)\s+)?(?P<left>\S+)\s+(?P<sign><=|>=|<|>|==)\s+(?P<right>\S+)"
)
"""``[LOW <=] LEFT SIGN RIGHT``, with spaces between."""


def number(text: str) -> float | None:
    """The number that a text stands for; None if it is none, or in no usual spelling (``1_000``, ``١``, ``1e999``).

    NaN is none: no comparison with it ever holds.
    """
    try:
        value = float(text)
    except ValueError:
        return None
    usual = text.isascii() and "_" not in text and (math.isfinite(value) or "inf" in text.lower())
    return value if usual and not math.isnan(value) else None
