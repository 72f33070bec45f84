"""Paths in V along which the loss never rises and ends near 0 (Nguyen, Theorem 3.4 (2))."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from repro.figures.panels import Panel, Trace
from repro.spectra import conditioning
from repro.theory.nguyen import losses, skip_points
from repro.theory.nguyen.skip_points import CLASSES, Point, direction
from repro.theory.result import Case, Result

DISTANCES = np.concatenate([[0.0], np.logspace(-3, math.log10(60), 100)])
"""s along the ray: the loss at the end is about 9 e^−60."""


@dataclass(frozen=True)
class Path:
    """Losses along a path, from its beginning."""

    at: Float[np.ndarray, " points"]
    loss: Float[np.ndarray, " points"]

    @property
    def rise(self) -> float:
        """The largest rise from one point to a later one, relative to the loss at the beginning."""
        lowest = np.minimum.accumulate(self.loss)
        return float((self.loss - lowest).max() / self.loss[0])


def along(point: Point, change: Float[Tensor, "neurons classes"], at: Sequence[float]) -> Path:
    """Cross-entropy at V + s · change, evaluated through Ψ as a network would."""
    found = []
    for s in at:
        scores = point.own + point.features @ (point.v + s * change)
        found.append(float(losses.cross_entropy(scores, point.labels)))
    return Path(np.array(at, dtype=float), np.array(found))


def ray(point: Point) -> Path:
    """V + sD with ΨD = Y: every sample's own score rises by s and no other moves, so that the loss falls strictly."""
    targets = losses.one_hot(point.labels, CLASSES)
    return along(point, direction(point, targets), DISTANCES.tolist())


def target_scale(epsilon: float, classes: int = CLASSES) -> float:
    """t* of the proof: the loss at scores Y t* is ε/2."""
    return math.log((classes - 1) / math.expm1(epsilon / 2))


def segment(point: Point, epsilon: float) -> Path:
    """The proof's own path: straight from V to V* with ΨV* = Y t*, where the loss is ε/2 (its λ runs backwards)."""
    targets = losses.one_hot(point.labels, CLASSES) * target_scale(epsilon) - point.own
    goal = direction(point, targets)
    return along(point, goal - point.v, np.linspace(0, 1, 101).tolist())


def rank(point: Point) -> int:
    """Numerical rank of Ψ in float64."""
    return int(conditioning([point.features]).rank[0])


def entropy_of_classes(point: Point) -> float:
    """The least cross-entropy where all samples have the same scores: the entropy of the labels' distribution."""
    shares = torch.bincount(point.labels, minlength=CLASSES).double() / len(point.labels)
    return float(-torch.xlogy(shares, shares).sum())


def _trace(label: str, path: Path) -> Trace:
    shown = path.at > 0 if path.at[-1] > 1 else path.at >= 0
    return Trace(label=label, x=path.at[shown], y=path.loss[shown])


def theorem_3_4_2(seed: int) -> Result:
    """Rays from drawn, trained, stuck and rank-deficient points; the proof's segment beside them."""
    points = {
        "as drawn": skip_points.initial(seed),
        "trained": skip_points.trained(seed),
        "stuck (sigmoid CNN13)": skip_points.stuck(seed),
        "equal features, moved by 1e-4": skip_points.equal_features(seed, 1e-4),
    }
    rays = {name: ray(point) for name, point in points.items()}
    trained = points["trained"]
    start = float(losses.cross_entropy(trained.scores, trained.labels))
    proof = segment(trained, 1.8 * start)
    degenerate = skip_points.equal_features(seed, 0.0)
    least = entropy_of_classes(degenerate)
    jumps = []
    for size in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6):
        moved = skip_points.equal_features(seed, size)
        before = losses.cross_entropy(degenerate.scores, degenerate.labels)
        # The same V as before the move, so that only U has changed.
        after = losses.cross_entropy(moved.features @ degenerate.v, moved.labels)
        jumps.append((size, rank(moved), float((after - before).abs())))
    cases = [
        Case(
            setting=f"from the point {name}: loss {path.loss[0]:.3g}, rank {rank(points[name])} "
            f"of N = {len(points[name].labels)}",
            conditions="complete",
            holds=path.rise <= 1e-12 and float(path.loss[-1]) < 1e-20,
            found=f"the largest rise between points is {path.rise:.0e} of the start, and the loss ends at "
            f"{path.loss[-1]:.0e}",
        )
        for name, path in rays.items()
    ]
    small = jumps[-1]
    cases += [
        Case(
            setting="from every point: U = 0, where all samples have the same features",
            conditions="as stated",
            holds=least < 0.1,
            found=f"Ψ has rank {rank(degenerate)}: all samples have the same scores, and no V has a loss below "
            f"{least:.3f}, the entropy of the classes; "
            f"moving U by {small[0]:.0e} makes the rank {small[1]} and changes the loss by {small[2]:.0e}",
        ),
        Case(
            setting="along the proof's own segment, to a point with 0.9 times the loss",
            conditions="beside",
            holds=proof.rise <= 1e-12,
            found=f"from {proof.loss[0]:.3g} down to {proof.loss.min():.2g} and up again to {proof.loss[-1]:.3g}: "
            "it stays below where it began, which is all that the proof needs",
        ),
    ]
    return Result(
        computed=f"Cross-entropy on real digits along V + sD with ΨD = Y, in float64, U held. N = {skip_points.SAMPLES}"
        " digits (50 for equal features).",
        cases=cases,
        under="a Ψ of full rank, or a small move of U that makes it so, which may raise the loss by as little as one "
        "likes",
        remark="The slope along the ray is −(1/N) Σ (1 − p_y) whatever the point, so that one formula serves every "
        "start.",
        numbers={
            "ends": {name: {"start": float(p.loss[0]), "end": float(p.loss[-1])} for name, p in rays.items()},
            "proof_segment": proof.loss.tolist(),
            "moves_of_equal_features": [{"size": s, "rank": r, "change": c} for s, r, c in jumps],
        },
        figures=[
            [
                Panel(
                    title="Along the ray V + sD",
                    x="s",
                    y="cross-entropy",
                    x_scale="log",
                    traces=[_trace(name, path) for name, path in rays.items()],
                ),
                Panel(
                    title="Along the proof's segment",
                    x="share of the way to V*",
                    y="cross-entropy",
                    traces=[_trace("trained", proof)],
                    whole=False,
                    reference=float(proof.loss[0]),
                ),
            ]
        ],
        caption="Left: from each point the loss falls strictly. Right: the proof's segment from the trained point to "
        "one of 0.9 times its loss dips and rises again, below the dotted level of its start.",
    )
