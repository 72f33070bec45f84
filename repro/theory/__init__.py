"""Both papers' statements as numerical experiments, descent paths and loss surfaces. Does not import torch."""

from repro.theory.registry import PAPERS, STATEMENTS, Statement, chosen, examine
from repro.theory.result import Case, Result

__all__ = ["PAPERS", "STATEMENTS", "Case", "Result", "Statement", "chosen", "examine"]
