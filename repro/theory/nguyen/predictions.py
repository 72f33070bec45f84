"""When the loss is small enough for every sample to be classified rightly (Nguyen, Lemma 2.1)."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from repro.figures.panels import Panel, Trace
from repro.theory.nguyen import losses, skip_points
from repro.theory.nguyen.skip_points import CLASSES
from repro.theory.result import Case, Result
from repro.theory.statement import STATEMENTS

_SAMPLES, _STEPS = 200, 400


def threshold(samples: int) -> float:
    """Log 2 / N."""
    return math.log(2) / samples


def one_tie(samples: int, margin: float) -> tuple[Float[Tensor, "samples classes"], Int[Tensor, " samples"]]:
    """Scores of two classes, all with a margin but the first, which is a tie: Φ is log 2 / N and a little more."""
    labels = torch.zeros(samples, dtype=torch.long)
    scores = torch.tensor([margin, 0.0], dtype=torch.float64).repeat(samples, 1)
    scores[0, 0] = 0
    return scores, labels


def training_history(seed: int) -> tuple[Float[np.ndarray, " steps"], Float[np.ndarray, " steps"]]:
    """Loss over log 2 / N, and errors, at every step of a sigmoid network on real digits (Adam, full batches)."""
    x, labels = skip_points.inputs(_SAMPLES)
    generator = torch.Generator().manual_seed(seed)
    hidden = skip_points.random_hidden((64,), x.shape[1], generator)
    v = torch.randn(64, CLASSES, generator=generator, dtype=torch.float64) / 8
    leaves = [leaf.requires_grad_() for leaf in (*hidden.weights, *hidden.biases, v)]
    optimizer = torch.optim.Adam(leaves, lr=0.03)
    ratios, wrong = [], []
    for _ in range(_STEPS):
        optimizer.zero_grad()
        scores = hidden.neurons(x) @ v
        loss = losses.cross_entropy(scores, labels)
        ratios.append(loss.item() / threshold(_SAMPLES))
        wrong.append(float(losses.errors(scores.detach(), labels)))
        loss.backward()
        optimizer.step()
    return np.array(ratios), np.array(wrong)


def broken_by(draws: int, generator: torch.Generator) -> tuple[int, int]:
    """How many of random score matrices of 1 to 8 samples are below the threshold, and of these have an error."""
    below = broken = 0
    for _ in range(draws):
        count = int(torch.randint(1, 9, (1,), generator=generator))
        labels = torch.randint(0, 3, (count,), generator=generator)
        scale = 10 * torch.rand(1, generator=generator).double()
        scores = torch.randn(count, 3, generator=generator).double() + scale * losses.one_hot(labels, 3)
        if losses.cross_entropy(scores, labels) < threshold(count):
            below += 1
            broken += losses.errors(scores, labels) > 0
    return below, broken


def lemma_2_1(seed: int) -> Result:
    """Losses and errors along a training, of random scores, and at the threshold itself."""
    ratio, wrong = training_history(seed)
    below = ratio < 1
    draws = 2000
    below_threshold, broken = broken_by(draws, torch.Generator().manual_seed(seed))
    scores, labels = one_tie(_SAMPLES, 40.0)
    tie = float(losses.cross_entropy(scores, labels)) / threshold(_SAMPLES)
    first_clean = int(np.argmax(wrong == 0)) if (wrong == 0).any() else -1
    first_below = int(np.argmax(below)) if below.any() else -1
    cases = [
        Case(
            setting=f"a network of 64 sigmoid units trained on {_SAMPLES} digits, looked at after every step",
            holds=bool(below.any() and wrong[below].max(initial=0) == 0),
            found=f"below the threshold in {int(below.sum())} of {_STEPS} steps, with no error in any; errors are gone "
            f"at step {first_clean}, the threshold is passed at step {first_below}",
        ),
        Case(
            setting=f"{draws:,} random score matrices of 1 to 8 samples and 3 classes",
            holds=broken == 0 and below_threshold > 0,
            found=f"{below_threshold} below the threshold, {broken} of them with an error",
        ),
        Case(
            setting="Φ a little above log 2 / N: one tie, all other samples certain",
            drops=[STATEMENTS["nguyen-lemma-2.1"].conditions["threshold"]],
            holds=losses.errors(scores, labels) == 0,
            found=f"Φ = {tie:.9f} log 2 / N and one sample is not classified rightly: the threshold cannot be raised",
        ),
    ]
    return Result(
        computed="Cross-entropy over log 2 / N and the number of wrong samples.",
        cases=cases,
        remark="The condition is sufficient, and far from necessary: errors are gone long before.",
        numbers={"first_step_without_errors": first_clean, "first_step_below_threshold": first_below, "tie": tie},
        figures=[_panels(ratio, wrong)],
        caption="Below the dotted line no sample can be wrong.",
    )


def _panels(ratio: Float[np.ndarray, " steps"], wrong: Float[np.ndarray, " steps"]) -> list[Panel]:
    steps = np.arange(_STEPS, dtype=float)

    def traces(values: Float[np.ndarray, " steps"]) -> list[Trace]:
        return [Trace(label="training", x=steps, y=values, marked=False)]

    return [
        Panel(title="Loss over the threshold", x="step", y="Φ / (log 2 / N)", traces=traces(ratio), reference=1.0),
        Panel(title="Errors", x="step", y=f"wrong of {_SAMPLES} samples", traces=traces(wrong), y_scale="linear"),
    ]
