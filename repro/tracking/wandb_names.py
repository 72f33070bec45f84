"""Other people's rules for names: what W&B takes, of any text, two texts never as one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

LONGEST = 128
"""Characters of a name, a group, a job type or an artifact's name."""
LONGEST_TAG = 64


def fitted(text: str, longest: int = LONGEST) -> str:
    """A text that is too long, cut, with a hash of the whole at its end."""
    return text if len(text) <= longest else f"{text[: longest - 9]}-{_digest(text)}"


def artifact_name(text: str) -> str:
    """A text as an artifact's name, which has letters of ASCII, digits, dots, dashes and underscores alone.

    Example:
        >>> artifact_name("study-demo"), artifact_name("study-高 1")
        ('study-demo', 'study---1-9ecad995')
    """
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", text)
    return fitted(plain if plain == text else f"{plain[: LONGEST - 9]}-{_digest(text)}")


def without_places(value: Any) -> Any:
    """A value with every absolute path in it as its last part: who trains where is nobody's business."""
    if isinstance(value, Mapping):
        return {key: without_places(content) for key, content in value.items()}
    if isinstance(value, list | tuple):
        return [without_places(content) for content in value]
    if not isinstance(value, str):
        return value
    flag, equals, path = value.rpartition("=")
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(path).is_absolute() or path.startswith("~"):
            return f"{flag}{equals}.../{kind(path).name}"
    return value


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
