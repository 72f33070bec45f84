"""Environment variables that hold numbers: others set them, to anything."""

from __future__ import annotations

import os
from collections.abc import Mapping

from repro.errors import UserError


def number(name: str, default: int, environment: Mapping[str, str] = os.environ) -> int:
    """The whole number in a variable, or the default if it is not set; `UserError` if it holds something else."""
    text = environment.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal()) or len(text) > 9:
        raise UserError(f"the environment variable {name} is '{text}'; allowed: a whole number from 0; or unset it")
    return int(text)
