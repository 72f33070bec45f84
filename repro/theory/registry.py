"""The statements by name; what is known of them before torch is imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from repro.errors import unknown
from repro.importing import load

if TYPE_CHECKING:
    from repro.theory.result import Result


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A statement of one of the papers, and the experiment on it."""

    paper: Literal["Oyedotun", "Nguyen"]
    place: str
    """Where in the paper."""
    text: str
    """The statement in one line."""
    experiment: str
    """Import path of ``experiment(seed) -> Result``."""


def _of(paper: Literal["Oyedotun", "Nguyen"], place: str, experiment: str, text: str) -> Statement:
    return Statement(paper=paper, place=place, text=text, experiment=f"repro.theory.{experiment}")


STATEMENTS: dict[str, Statement] = {
    "oyedotun-assumption-1": _of(
        "Oyedotun",
        "Assumption 1, Definition 1",
        "oyedotun.assumptions:assumption_1",
        "The layers of a network are jointly diagonalizable, with one orthogonal basis of eigenvectors.",
    ),
    "oyedotun-proposition-1": _of(
        "Oyedotun",
        "Proposition 1, Corollary 1",
        "oyedotun.random_matrices:proposition_1",
        "A matrix with uniform or Gaussian entries is non-singular with probability 1.",
    ),
    "oyedotun-proposition-2": _of(
        "Oyedotun",
        "Proposition 2, Eq. 8",
        "oyedotun.information:proposition_2",
        "A singular matrix M loses information: v cannot be recovered from s = Mv.",
    ),
    "oyedotun-theorem-1": _of(
        "Oyedotun",
        "Theorem 1, Eq. 9",
        "oyedotun.diagonalizable:theorem_1",
        "The output of a deep linear PlainNet is nearly a multiple of the dominant eigenvector v₁.",
    ),
    "oyedotun-theorem-2": _of(
        "Oyedotun",
        "Theorem 2, Axiom 1, Eq. 16",
        "oyedotun.diagonalizable:theorem_2",
        "The output of a deep linear ResNet keeps every basis vector: Σ αᵢvᵢ plus a multiple of α₁v₁.",
    ),
    "oyedotun-theorem-3": _of(
        "Oyedotun",
        "Theorem 3, Eq. 22",
        "oyedotun.diagonalizable:theorem_3",
        "The same for a ResNeXt of m paths, if |λ₁| is the largest in every layer.",
    ),
    "oyedotun-remarks-1-3": _of(
        "Oyedotun",
        "Remarks 1 to 3",
        "oyedotun.collapse:remarks_1_to_3",
        "With depth PlainNet's representations become singular, and ResNet's and ResNeXt's do not.",
    ),
    "oyedotun-lemma-2": _of(
        "Oyedotun",
        "Lemma 2",
        "oyedotun.products:lemma_2",
        "If V is singular, so is the product XV, whatever the shapes.",
    ),
    "oyedotun-lemma-3": _of(
        "Oyedotun", "Lemma 3", "oyedotun.products:lemma_3", "If X and V are non-singular, so is the product XV."
    ),
    "oyedotun-equations-23-26": _of(
        "Oyedotun",
        "Eq. 23 to 26",
        "oyedotun.backpropagation:equations_23_to_26",
        "Δ = H(WΔ), ΔW = ηΔH, and early in training W(t) ≈ ΔW(t), so that a singular H makes all of them singular.",
    ),
    "oyedotun-remarks-4-6": _of(
        "Oyedotun",
        "Remarks 4 to 6",
        "oyedotun.backpropagation:remarks_4_to_6",
        "Gradients and updates are singular without skip connections and non-singular with them.",
    ),
    "oyedotun-proposition-3": _of(
        "Oyedotun",
        "Proposition 3, Eq. 27 and 51",
        "oyedotun.perturbation:proposition_3",
        "The solution's relative change is at most κ(X) times the relative change of X.",
    ),
    "oyedotun-section-6.5b": _of(
        "Oyedotun",
        "section 6.5 (b)",
        "oyedotun.remedies:section_6_5_b",
        "If the largest eigenvalues are only slightly larger than the others, a PlainNet keeps its information.",
    ),
    "oyedotun-section-6.5c": _of(
        "Oyedotun",
        "section 6.5 (c), Eq. 28 and 29",
        "oyedotun.remedies:section_6_5_c",
        "A DiracNet starts as a ResNet and does not stay one, since diag(a) is free.",
    ),
    "nguyen-lemma-2.1": _of(
        "Nguyen",
        "Lemma 2.1",
        "nguyen.predictions:lemma_2_1",
        "If Φ < log 2 / N, every training sample is classified rightly.",
    ),
    "nguyen-lemma-3.2": _of(
        "Nguyen",
        "Lemma 3.2",
        "nguyen.features:lemma_3_2",
        "The matrix Ψ(U) of N chosen neurons on N samples has rank N for almost every U.",
    ),
    "nguyen-lemma-3.2-proof": _of(
        "Nguyen",
        "proof of Lemma 3.2, Eq. 9 to 12",
        "nguyen.construction:proof_of_lemma_3_2",
        "With weights scaled by α and biases set by β, det Ψ is at least half of Π σ(β).",
    ),
    "nguyen-theorem-3.4-1": _of(
        "Nguyen",
        "Theorem 3.4 (1)",
        "nguyen.critical_points:theorem_3_4_1",
        "There are uncountably many solutions with zero training error.",
    ),
    "nguyen-theorem-3.4-2": _of(
        "Nguyen",
        "Theorem 3.4 (2)",
        "nguyen.descent:theorem_3_4_2",
        "No bad local valley: from every point a path leads to loss 0 along which the loss never rises.",
    ),
    "nguyen-theorem-3.4-3": _of(
        "Nguyen",
        "Theorem 3.4 (3)",
        "nguyen.critical_points:theorem_3_4_3",
        "There is no suboptimal strict local minimum.",
    ),
    "nguyen-theorem-3.4-4": _of(
        "Nguyen", "Theorem 3.4 (4)", "nguyen.critical_points:theorem_3_4_4", "There is no local maximum."
    ),
    "nguyen-theorem-c.3": _of(
        "Nguyen",
        "Theorem C.3, Assumption C.1",
        "nguyen.convex_losses:theorem_c_3",
        "The same for every convex loss that is bounded from below, whose infimum is then attained.",
    ),
    "nguyen-tables": _of(
        "Nguyen",
        "sections 4 and G",
        "nguyen.published:tables",
        "What the text says of Tables 1, 2 and 4 is what the tables show.",
    ),
}
"""In reading order. Adding one takes a function and an entry."""

PAPERS = ("oyedotun", "nguyen")


def chosen(names: Sequence[str]) -> list[str]:
    """The statements that are asked for, in reading order: by name, or all of a paper's; all of them if none is named.

    Raises:
        UserError: For a name that is neither; the nearest are named.
    """
    for name in names:
        if name not in STATEMENTS and name not in PAPERS:
            raise unknown("statement", name, [*PAPERS, *STATEMENTS], extra="repro theory --list shows all")
    return [name for name in STATEMENTS if not names or name in names or name.partition("-")[0] in names]


def examine(name: str, seed: int = 0) -> Result:
    """Run a statement's experiment.

    Args:
        name: A key of `STATEMENTS`.
        seed: Of everything that is drawn.
    """
    result: Result = load(STATEMENTS[name].experiment)(seed)
    return result
