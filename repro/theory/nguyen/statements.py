"""Nguyen's statements in the paper's words, and what each of them asks for and needs."""

from __future__ import annotations

from repro.theory.statement import Statement, said, unsaid

_ANALYTIC = said("Assumption 3.1 (1)", "real analytic and strictly increasing")
_LIMIT = said("Assumption 3.1 (2)", "bounded and lim σ(t) = 0")
_PATH = said(
    "Assumption 3.1 (2)",
    "on this path there is no neuron which has skip-connections to the output or shared weights with other "
    "skip-connection neurons",
)
_BIAS = said("section 2, item 5", "bⱼ ∈ ℝ is the bias of unit j")
_PATCHES = said("Assumption 3.1 (3)", "The input patches of different training samples are distinct.")
_UNDER = "The following holds under Assumption 3.1: …"
NETWORK = {"bias": _BIAS, "patches": _PATCHES}
"""Of Assumption 3.1 and section 2, what a convolutional network on digits does not meet."""

STATEMENTS: dict[str, Statement] = {
    "nguyen-lemma-2.1": Statement(
        paper="Nguyen",
        place="Lemma 2.1",
        text="If Φ(U, V) < log(2)/N, then the training error is zero.",
        experiment="nguyen.predictions:lemma_2_1",
        conditions={"threshold": said("Lemma 2.1", "Φ(U, V) < log(2)/N")},
    ),
    "nguyen-lemma-3.2": Statement(
        paper="Nguyen",
        place="Lemma 3.2",
        text="Under Assumption 3.1, the set of U such that Ψ(U) has not full rank N has Lebesgue measure zero.",
        experiment="nguyen.features:lemma_3_2",
        conditions={
            "bias": _BIAS,
            "analytic": _ANALYTIC,
            "limit": _LIMIT,
            "path": _PATH,
            "patches": _PATCHES,
        },
    ),
    "nguyen-lemma-3.2-proof": Statement(
        paper="Nguyen",
        place="proof of Lemma 3.2, Eq. 9 to 13",
        text="det(Ψ₁:N,₁:N) ≥ … ½ Π σ(β) ≠ 0 and thus Ψ has full rank. … lim det(Ψ₁:N,₁:N) = Π σ(β) ≠ 0",
        experiment="nguyen.construction:proof_of_lemma_3_2",
    ),
    "nguyen-theorem-3.4-1": Statement(
        paper="Nguyen",
        place="Theorem 3.4 (1)",
        text=f"{_UNDER} There exist uncountably many solutions with zero training error.",
        experiment="nguyen.critical_points:theorem_3_4_1",
    ),
    "nguyen-theorem-3.4-2": Statement(
        paper="Nguyen",
        place="Theorem 3.4 (2)",
        text=f"{_UNDER} The loss landscape of Φ does not have any bad local valley. … from any point in the parameter "
        "space there exists a continuous path that drives the loss arbitrarily close to zero … on which the loss is "
        "non-increasing.",
        experiment="nguyen.descent:theorem_3_4_2",
        conditions=NETWORK,
    ),
    "nguyen-theorem-3.4-3": Statement(
        paper="Nguyen",
        place="Theorem 3.4 (3)",
        text=f"{_UNDER} There exists no suboptimal strict local minimum.",
        experiment="nguyen.critical_points:theorem_3_4_3",
        conditions=NETWORK,
    ),
    "nguyen-theorem-3.4-4": Statement(
        paper="Nguyen",
        place="Theorem 3.4 (4)",
        text=f"{_UNDER} There exists no local maximum.",
        experiment="nguyen.critical_points:theorem_3_4_4",
    ),
    "nguyen-theorem-c.3": Statement(
        paper="Nguyen",
        place="Theorem C.3, Assumption C.1",
        text="The following holds under Assumption 3.1 and Assumption C.1: … The loss landscape of Φ does not have any "
        "bad local valley. … For cross-entropy loss (2) and square loss "
        "(14) there exists no local maximum.",
        experiment="nguyen.convex_losses:theorem_c_3",
        conditions=NETWORK | {"loss": said("Theorem C.3 (4)", "For cross-entropy loss (2) and square loss (14)")},
    ),
    "nguyen-tables": Statement(
        paper="Nguyen",
        place="sections 4 and G",
        text="adding skip connections to the output improves the test accuracy in almost all networks (with the "
        "exception of Densenet121) … the test accuracy gets worse as one is moving from simpler networks (VGG11) to "
        "more complex ones (VGG16 and Densenet121) … the performance of skip-models themselves have decreased by 4-7%",
        experiment="nguyen.published:tables",
        conditions={"means": unsaid("“skip-models” meaning those trained whole, in the mean over the three networks")},
    ),
}
