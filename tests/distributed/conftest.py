"""Processes are begun as in the tests of runs."""

from tests.runs.conftest import context, on_ranks

__all__ = ["context", "on_ranks"]
