"""The grammar of statements about numbers, which claims of studies and rules that end a run share. Imports no torch."""

from __future__ import annotations

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
