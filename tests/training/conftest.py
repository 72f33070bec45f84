"""Processes are begun as in the tests of runs."""

from tests.runs.conftest import context

__all__ = ["context"]
