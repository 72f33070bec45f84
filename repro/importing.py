"""Objects by import path: how registries name what needs torch, and how users name their own."""

from __future__ import annotations

import importlib
from typing import Any

from repro.errors import UserError


def load(path: str) -> Any:
    """The object at ``package.module:Name``, imported now; for paths of ours, whose failure is a fault of ours."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def load_own(path: str, kind: str) -> Any:
    """The object at an import path that a user gave.

    Args:
        path: ``package.module:Name``.
        kind: What it should be, for the error: ``"network"``, ``"dataset"``.

    Raises:
        UserError: Whatever the user's module raises while it is imported, or it has no such name.
    """
    try:
        return load(path)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "no message")
        raise UserError(
            f"cannot import the {kind} {path} ({type(error).__name__}: {reason}); write package.module:Name"
        ) from error
