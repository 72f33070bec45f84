"""Paths along which the loss never rises and ends near 0 (Nguyen, Theorem 3.4 (2))."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from repro.figures.panels import Panel, Trace
from repro.spectra import conditioning
from repro.theory.nguyen import losses, skip_points
from repro.theory.nguyen.skip_points import CLASSES, Hidden, Point, direction
from repro.theory.result import Case, Result
from repro.theory.statement import Condition

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


def along(
    point: Point,
    change: Float[Tensor, "neurons classes"],
    at: Sequence[float],
    loss: Callable[[Tensor, Tensor], Tensor] = losses.cross_entropy,
) -> Path:
    """The loss at V + s · change, evaluated through Ψ as a network would."""
    values = [float(loss(point.own + point.features @ (point.v + s * change), point.labels)) for s in at]
    return Path(np.array(at, dtype=float), np.array(values))


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


def joined(*paths: Path) -> Path:
    """One path after another; each begins where the one before ends."""
    ends = np.cumsum([0.0, *(path.at[-1] for path in paths)])
    at = np.concatenate([path.at + start for path, start in zip(paths, ends[:-1], strict=True)])
    return Path(at, np.concatenate([path.loss for path in paths]))


def from_equal_features(seed: int) -> tuple[Path, Path, int, int]:
    """From U = 0, where all samples have the same features and no move of V alone helps, down to nothing.

    First all of V goes to one neuron: the features are equal, so no score changes. Then U of all other neurons goes to
    a random one: their V is zero, so no score changes. Then Ψ has full rank and the ray leads down. Returns the first
    two parts, on which the loss is constant; the whole; the rank of Ψ at the start and before the ray.
    """
    start = skip_points.equal_features(seed, 0.0)
    x, _ = skip_points.inputs(len(start.labels))
    neurons = len(start.v)
    gathered = torch.zeros_like(start.v)
    gathered[0] = start.v.sum(0)
    goal = skip_points.random_hidden((neurons,), x.shape[1], torch.Generator().manual_seed(seed))
    moves = (torch.arange(neurons) > 0).double()  # neuron 0 stays as it is
    at = np.linspace(0, 1, 51)

    def moved(s: float) -> Point:
        weights, biases = goal.weights[0] * (s * moves)[:, None], goal.biases[0] * (s * moves)
        return replace(start, features=Hidden([weights], [biases]).neurons(x), v=gathered)

    level = joined(
        along(start, gathered - start.v, at.tolist()),
        Path(at, np.array([float(losses.cross_entropy((here := moved(s)).scores, here.labels)) for s in at])),
    )
    end = moved(1.0)
    return level, joined(level, ray(end)), rank(start), rank(end)


def _trace(label: str, path: Path) -> Trace:
    shown = path.at > 0 if path.at[-1] > 1 else path.at >= 0
    return Trace(label=label, x=path.at[shown], y=path.loss[shown])


def _goes_down(setting: str, path: Path, drops: Sequence[Condition] = ()) -> Case:
    return Case(
        setting=setting,
        drops=drops,
        holds=path.rise <= 1e-12 and float(path.loss[-1]) < 1e-20,
        found=f"the largest rise between points is {path.rise:.0e} of the start, and the loss ends at "
        f"{path.loss[-1]:.0e}",
    )


def theorem_3_4_2(seed: int) -> Result:
    """Rays from drawn, trained and stuck points, a path from U = 0; the proof's segment beside them."""
    points = {
        "as drawn": skip_points.drawn(seed),
        "trained": skip_points.drawn(seed, 60),
        "stuck (sigmoid CNN13)": skip_points.stuck(seed),
    }
    rays = {name: ray(point) for name, point in points.items()}
    proof = segment(points["trained"], 1.8 * float(rays["trained"].loss[0]))
    level, down, before, after = from_equal_features(seed)
    paths = {**rays, "U = 0": down}
    cases = [
        *(
            _goes_down(
                f"from the point {name}: loss {path.loss[0]:.3g}, rank {rank(points[name])} of N = "
                f"{len(points[name].labels)}; along the ray V + sD",
                path,
                list(skip_points.NETWORK.values()) if "CNN" in name else (),
            )
            for name, path in rays.items()
        ),
        _goes_down(
            f"from U = 0: rank {before}, all samples have the same features; V to one neuron, U of the others to a "
            f"random one (rank {after}), along the ray",
            down,
        ),
        Case(
            setting="along the proof's own segment, to a point with 0.9 times the loss",
            instead="a path that stays below its start, which is all that the proof needs",
            holds=proof.rise <= 1e-12,
            found=f"from {proof.loss[0]:.3g} down to {proof.loss.min():.2g} and up again to {proof.loss[-1]:.3g}",
        ),
    ]
    return Result(
        computed=f"Cross-entropy on real digits along V + sD with ΨD = Y, in float64. N = {skip_points.SAMPLES} digits "
        "(50 from U = 0).",
        cases=cases,
        remark="The slope along the ray is −(1/N) Σ (1 − p_y) whatever the point, so that one formula serves every "
        f"start. On the way from U = 0 to full rank the loss varies by {np.ptp(level.loss) / level.loss[0]:.0e} of "
        "itself. Where Ψ lacks rank the proof has paths below every level above the start; that one need not rise at "
        "all is shown here from U = 0 alone.",
        numbers={
            "ends": {
                n: {"start": float(p.loss[0]), "end": float(p.loss[-1]), "rise": p.rise} for n, p in paths.items()
            },
            "proof_segment": proof.loss.tolist(),
        },
        figures=[_panels(paths, proof)],
        caption="Left: from each point the loss never rises, from U = 0 after two level stretches. Right: the proof's "
        "segment from the trained point to one of 0.9 times its loss dips and rises again, below the dotted level of "
        "its start.",
    )


def _panels(paths: Mapping[str, Path], proof: Path) -> list[Panel]:
    return [
        Panel(
            title="Down to nothing",
            x="way gone (s along the ray)",
            y="cross-entropy",
            x_scale="log",
            traces=[_trace(name, path) for name, path in paths.items()],
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
