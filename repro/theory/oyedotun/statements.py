"""Oyedotun's statements in the paper's words, and what each of them asks for and needs."""

from __future__ import annotations

from repro.theory.statement import Statement, said, unsaid

_COMMON = said("Assumption 1", "jointly diagonalizable")
_KERNEL = unsaid("“singular” meaning dependent columns, Vu = 0 for some u ≠ 0 (the proofs say “row(s) or column(s)”)")
_DOMINANCE = "|λ₁ˡ| > |λᵢˡ| : 2 ≤ i ≤ n"

STATEMENTS: dict[str, Statement] = {
    "oyedotun-assumption-1": Statement(
        paper="Oyedotun",
        place="Assumption 1, Definition 1",
        text="all layer weight matrices … are assumed to be jointly diagonalizable; implying the same eigenvectors "
        "{vᵢ}, forming a basis in ℝⁿ … Given {vᵢ} is a set of eigenvectors (i.e. orthogonal vectors) … any x ∈ ℝⁿ can "
        "be expressed as x = Σ αᵢvᵢ",
        experiment="oyedotun.assumptions:assumption_1",
        conditions={
            "joint": _COMMON,
            "real": said("Assumption 1", "forming a basis in ℝⁿ"),
            "orthogonal": said("Definition 1", "orthogonal vectors"),
        },
    ),
    "oyedotun-proposition-1": Statement(
        paper="Oyedotun",
        place="Proposition 1, Corollary 1",
        text="For a matrix W ∈ ℝⁿˣⁿ whose column vectors, wᵢ, are randomly drawn from a uniform distribution … or a "
        "Gaussian distribution …, the probability that W is non-singular … is … 1",
        experiment="oyedotun.random_matrices:proposition_1",
        conditions={"continuous": said("Proposition 1", "a uniform distribution … or a Gaussian distribution")},
    ),
    "oyedotun-proposition-2": Statement(
        paper="Oyedotun",
        place="Proposition 2, Eq. 8",
        text="Given a non-invertible matrix M ∈ ℝⁿˣⁿ, and vector v ∈ ℝⁿ, then the transformation s = Mv incurs "
        "information loss.",
        experiment="oyedotun.information:proposition_2",
        conditions={
            "singular": said("Proposition 2", "non-invertible matrix"),
            "any": said("Proposition 2", "vector v ∈ ℝⁿ"),
        },
    ),
    "oyedotun-theorem-1": Statement(
        paper="Oyedotun",
        place="Theorem 1, Eq. 9",
        text="Given an input x ∈ ℝⁿ to a linear L-layer PlainNet …, the hidden layer output, h(x)ᴸ : L ≫ 1, is "
        f"h(x)ᴸ ≈ Π λ₁ˡ (α₁v₁), s.t. {_DOMINANCE}",
        experiment="oyedotun.theorems:theorem_1",
        conditions={
            "joint": _COMMON,
            "dominance": said("Eq. 9", _DOMINANCE),
            "product": said("proof of Theorem 1", "Π (λᵢ/λ₁)ˡ → 0 for L ≫ 1"),
            "alpha": unsaid("α₁ ≠ 0"),
        },
    ),
    "oyedotun-lemma-1": Statement(
        paper="Oyedotun",
        place="Lemma 1",
        text="For a matrix W ∈ ℝⁿˣⁿ with eigenvector v ∈ ℝⁿ and eigenvalue λ such that Wv = λv, it can be shown that "
        "(W + cI)v = (λ + c)v for a scalar c.",
        experiment="oyedotun.theorems:lemma_1",
    ),
    "oyedotun-theorem-2": Statement(
        paper="Oyedotun",
        place="Theorem 2, Axiom 1, Eq. 16",
        text="Given an input x ∈ ℝⁿ to a linear L-layer ResNet …, the hidden layer output, h(x)ᴸ : L ≫ 1, is "
        f"h(x)ᴸ ≈ Σ αᵢvᵢ + α₁v₁ (Σ λ₁ˡ + ⋯ + Π λ₁ˡ) s.t. {_DOMINANCE}",
        experiment="oyedotun.theorems:theorem_2",
        conditions={
            "joint": _COMMON,
            "dominance": said("Eq. 16", _DOMINANCE),
            "shifted": unsaid("a product of the ratios (1 + λᵢ)/(1 + λ₁) that goes to 0"),
            "alpha": unsaid("α₁ ≠ 0"),
        },
    ),
    "oyedotun-theorem-3": Statement(
        paper="Oyedotun",
        place="Theorem 3, Eq. 22",
        text="Given an input x ∈ ℝⁿ to a linear L-layer ResNeXt …, the hidden layer output, h(x)ᴸ : L ≫ 1, is "
        f"h(x)ᴸ ≈ Σ αᵢvᵢ + α₁v₁ (Σ Σ λ₁ˡ·ᵐ + ⋯ + Π Σ λ₁ˡ·ᵐ) s.t. {_DOMINANCE}",
        experiment="oyedotun.theorems:theorem_3",
        conditions={
            "joint": _COMMON,
            "dominance": said("Eq. 22", _DOMINANCE),
            "sums": said("A3", "|p₁ˡ·ᵏ| > |pᵢˡ·ᵏ| : 2 ≤ i ≤ n"),
            "shifted": unsaid("a product of the ratios (1 + pᵢ)/(1 + p₁) that goes to 0"),
        },
    ),
    "oyedotun-remarks-1-3": Statement(
        paper="Oyedotun",
        place="Remarks 1 to 3",
        text="the columns of H(x)ᴸ are colinear; hence, H(x)ᴸ is singular. … the columns of H(x)ᴸ are distinct, and "
        "therefore H(x)ᴸ is non-singular.",
        experiment="oyedotun.collapse:remarks_1_to_3",
        conditions={
            "joint": _COMMON,
            "reading": unsaid("“singular” read as “ill-conditioned, and the sooner so without skip connections”"),
            "block": unsaid("no eigenvalue of a block at −1"),
        },
    ),
    "oyedotun-lemma-2": Statement(
        paper="Oyedotun",
        place="Lemma 2",
        text="Let X ∈ ℝᵐˣⁿ and V ∈ ℝⁿˣᵖ be matrices. If V is singular, then their product, Y = XV, is also singular.",
        experiment="oyedotun.products:lemma_2",
        conditions={"kernel": _KERNEL},
    ),
    "oyedotun-lemma-3": Statement(
        paper="Oyedotun",
        place="Lemma 3",
        text="Let X ∈ ℝᵐˣⁿ and V ∈ ℝⁿˣᵖ be two matrices. If X and V are non-singular, then their product, Y = XV, is "
        "also non-singular.",
        experiment="oyedotun.products:lemma_3",
        conditions={"kernel": _KERNEL},
    ),
    "oyedotun-equations-23-26": Statement(
        paper="Oyedotun",
        place="Eq. 23 to 26",
        text="the local error gradient of units, Δˡ, … is of the form Δˡ = H(x)ˡ(Wˡ⁺¹Δˡ⁺¹). … ΔWˡ(t) = −η ∂E/∂Wˡ = "
        "ηΔˡH(x)ˡ⁻¹ … large weight updates are made at the start of training. … Wˡ(t) ≈ ΔWˡ(t) : 1 ≤ t ≪ T.",
        experiment="oyedotun.equations:equations_23_to_26",
        conditions={
            "linear": said("Eq. 23", "the linear activation function is employed"),
            "large": said("Eq. 26", "large weight updates are made at the start of training"),
            "form": unsaid("the usual form Δˡ = (Wˡ⁺¹)ᵀΔˡ⁺¹, ∂E/∂W = ΔHᵀ"),
        },
    ),
    "oyedotun-remarks-4-6": Statement(
        paper="Oyedotun",
        place="Remarks 4 to 6",
        text="Using Remark 1 that H(x)ˡ exhibits singularity … the error gradient estimate, Δˡ, is singular. "
        "Subsequently, … ΔWˡ in (24) is singular … Using Remark 2 that H(x)ˡ is non-singular and Corollary 1 that Wˡ⁺¹ "
        "is non-singular, it follows … that the error gradient, Δˡ, is non-singular. Likewise, … weights updates and "
        "weights are both non-singular",
        experiment="oyedotun.backpropagation:remarks_4_to_6",
        conditions={
            "singular": said("Remark 4", "H(x)ˡ exhibits singularity"),
            "regular": said("Remarks 5 and 6", "H(x)ˡ is non-singular"),
            "descent": said("Eq. 24 and 25", "−η ∂E/∂Wˡ"),
            "weights": unsaid("the gradient ΔHᵀ of the weights in place of the error Δ"),
            "compared": unsaid("a comparison of κ in place of “non-singular”"),
        },
    ),
    "oyedotun-proposition-3": Statement(
        paper="Oyedotun",
        place="Proposition 3, Eq. 27 and 51",
        text="For a DNN with optimal solution θ, ΔH(x)ˡ translates to a relative change in solution, Δθ, as follows "
        "‖Δθ‖/‖θ‖ ≤ κ(H(x)ˡ) ‖ΔH(x)ˡ‖/‖H(x)ˡ‖",
        experiment="oyedotun.perturbation:proposition_3",
        conditions={
            "exact": said("A4", "Y = WX"),
            "small": said("A4", "small perturbation of ΔX"),
            "kappa": said("A4", "κ(X) ≈ ‖X†‖‖X‖"),
            "samples": unsaid("N ≥ n samples or the Frobenius norm"),
        },
    ),
    "oyedotun-section-6.5b": Statement(
        paper="Oyedotun",
        place="section 6.5 (b)",
        text="the largest eigenvalues are only slightly larger than others; this would alleviate information loss in "
        "the hidden representations",
        experiment="oyedotun.remedies:section_6_5_b",
        conditions={
            "equal": said("6.5 (b)", "only slightly larger than others"),
            "joint": _COMMON,
        },
    ),
    "oyedotun-section-6.5c": Statement(
        paper="Oyedotun",
        place="section 6.5 (c), Eq. 28 and 29",
        text="The DiracNet, which initializes a = 1 mimics the ResNet at the start of training … the DiracNet "
        "invariably violates diag(a) = I in (28) after several training iterations so that h̃(x)ᴸ is far from x in "
        "(29), and thus optimization becomes difficult.",
        experiment="oyedotun.remedies:section_6_5_c",
        conditions={
            "difficult": unsaid("“violates diag(a) = I” alone: a free diagonal makes this fit no harder"),
        },
    ),
}
