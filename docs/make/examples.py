"""What griffe, which reads the docstrings, is to know of ours."""

from __future__ import annotations

from typing import Any

from griffe import Extension, Object


class Examples(Extension):
    """A section ``Example:`` is code with its output, which griffe takes ``Examples:`` for, and not a remark."""

    def on_object(self, *, obj: Object, **_more: Any) -> None:
        """Called for everything that was read."""
        if obj.docstring:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
