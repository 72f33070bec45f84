"""Solutions, minima and maxima, probed by sampling (Nguyen, Theorem 3.4 (1), (3) and (4))."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from repro.figures.panels import Panel, Trace
from repro.theory.nguyen import losses, skip_points
from repro.theory.nguyen.skip_points import CLASSES, Point, direction
from repro.theory.result import Case, Result

_DRAWS = 20
_SCALES = (0.0, 0.1, 1.0, 10.0)


def sampled(seed: int) -> list[Point]:
    """Points of random U, and V of several scales."""
    points = []
    for number in range(_DRAWS):
        drawn = skip_points.drawn(seed * _DRAWS + number)
        scale = _SCALES[number % len(_SCALES)]
        points.append(Point(drawn.features, drawn.own, scale * drawn.v, drawn.labels))
    return points


def hessian_block(point: Point, column: int) -> Float[Tensor, "neurons neurons"]:
    """∇²Φ with respect to one column of V, by automatic differentiation."""

    def loss(values: Tensor) -> Tensor:
        v = point.v.clone()
        v = torch.cat([v[:, :column], values[:, None], v[:, column + 1 :]], 1)
        return losses.cross_entropy(point.own + point.features @ v, point.labels)

    hessian = torch.autograd.functional.hessian(loss, point.v[:, column].clone())
    assert isinstance(hessian, Tensor)
    return hessian


def curvature(point: Point) -> float:
    """The second derivative along D of the loss, through Ψ, by automatic differentiation."""
    change = direction(point, losses.one_hot(point.labels, CLASSES))
    s = torch.zeros((), dtype=torch.float64, requires_grad=True)
    loss = losses.cross_entropy(point.own + point.features @ (point.v + s * change), point.labels)
    (slope,) = torch.autograd.grad(loss, s, create_graph=True)
    return float(torch.autograd.grad(slope, s)[0])


def hessian_as_printed(point: Point, column: int) -> Float[Tensor, "neurons neurons"]:
    """The paper's formula for it: Σ p_j (1 − p_j) Ψᵢᵀ Ψᵢ, without 1/N."""
    p = point.scores.softmax(1)[:, column]
    return (point.features.T * (p * (1 - p))) @ point.features


def theorem_3_4_1(seed: int) -> Result:
    """For every U that is drawn a V without errors, and a line of such V for each."""
    solved, margins, along = 0, [], 0
    for point in sampled(seed):
        targets = losses.one_hot(point.labels, CLASSES)
        v = direction(point, targets)
        scores = point.features @ v
        solved += losses.errors(scores, point.labels) == 0
        margins.append(float(losses.log_margin(scores, point.labels).min()))
        _, _, right = torch.linalg.svd(point.features)
        kernel = right[-1][:, None] * torch.ones(1, CLASSES, dtype=torch.float64)
        along += all(losses.errors(point.features @ (v + s * kernel), point.labels) == 0 for s in (-10.0, 0.5, 10.0))
    cases = [
        Case(
            setting=f"{_DRAWS} random U, V from ΨV = Y",
            holds=solved == _DRAWS,
            found=f"zero errors for {solved}; the smallest margin is {min(margins):.6f}",
        ),
        Case(
            setting="for each of them V + sK with ΨK = 0 (more neurons than samples), and multiples of V",
            holds=along == _DRAWS,
            found=f"zero errors along the line for {along}: a continuum of solutions for each U",
        ),
    ]
    return Result(
        computed=f"{skip_points.SAMPLES} digits, {skip_points.SAMPLES + 20} of 240 sigmoid neurons, in float64.",
        cases=cases,
        remark="They classify the training digits rightly; nothing says that they classify others.",
        numbers={"solved": solved, "of": _DRAWS, "smallest_margins": margins},
    )


def theorem_3_4_3(seed: int) -> Result:
    """The slope along D at sampled points, and the flat critical point at U = 0."""
    slopes, checked = [], []
    for point in [*sampled(seed), skip_points.drawn(seed, 60), skip_points.stuck(seed)]:  # CNN13 last
        change = direction(point, losses.one_hot(point.labels, CLASSES))
        slope = float(losses.slope_along_targets(point.scores, point.labels))
        step = 1e-4
        ahead, behind = (
            losses.cross_entropy(point.own + point.features @ (point.v + s * change), point.labels)
            for s in (step, -step)
        )
        slopes.append(slope)
        checked.append(abs(float(ahead - behind) / (2 * step) / slope - 1))
    flat = skip_points.equal_features(seed, 0.0)
    labels = torch.arange(50) % CLASSES
    zero_v = Point(flat.features, flat.own, torch.zeros_like(flat.v), labels)
    around = [
        float(losses.cross_entropy(skip_points.equal_features(seed, radius).features @ zero_v.v, labels))
        for radius in (1e-3, 1e-2, 1e-1)
    ]
    gradient = float(
        (zero_v.features.T @ (zero_v.scores.softmax(1) - losses.one_hot(labels, CLASSES))).norm() / len(labels)
    )
    cases = [
        Case(
            setting=f"{_DRAWS} random points and a trained one",
            holds=max(slopes[:-1]) < 0 and max(checked[:-1]) < 1e-6,
            found=f"the slope along D is −{-max(slopes[:-1]):.2g} to −{-min(slopes[:-1]):.2g}: none is a local minimum "
            f"at all (finite differences agree to {max(checked[:-1]):.0e})",
        ),
        Case(
            setting="a stuck point of a sigmoid CNN13",
            drops=list(skip_points.NETWORK.values()),
            holds=slopes[-1] < 0 and checked[-1] < 1e-6,
            found=f"the slope along D is −{-slopes[-1]:.2g} (finite differences agree to {checked[-1]:.0e})",
        ),
        Case(
            setting="the critical point U = 0, V = 0 with as many samples of each class",
            holds=all(abs(value - math.log(CLASSES)) < 1e-12 for value in around),
            found=f"the gradient is {gradient:.0e} and the loss log 10, also when U moves: flat, so not strict",
        ),
    ]
    return Result(
        computed="Slopes −(1/N) Σ (1 − p_y) along V + sD, checked by finite differences through Ψ.",
        cases=cases,
        remark="A critical point that is not strict stops gradient descent all the same; the theorem says that a way "
        "down lies next to it.",
        numbers={"slopes": slopes, "relative_difference_to_finite_differences": checked, "gradient_at_zero": gradient},
    )


def theorem_3_4_4(seed: int) -> Result:
    """The curvature along D at sampled points, and the Hessian beside the paper's formula."""
    points = sampled(seed)
    curvatures = [curvature(point) for point in points]
    closed = [float(losses.curvature_along_targets(point.scores, point.labels)) for point in points]
    off = max(abs(found / exact - 1) for found, exact in zip(curvatures, closed, strict=True))
    drawn = skip_points.drawn(seed)
    small = Point(drawn.features[:, :12], drawn.own, drawn.v[:12], drawn.labels)
    exact, printed = hessian_block(small, 0), hessian_as_printed(small, 0)
    ratio = float((printed * exact).sum() / exact.square().sum())
    corrected = float((printed / len(small.labels) - exact).norm() / exact.norm())
    cases = [
        Case(
            setting=f"{_DRAWS} random points",
            holds=min(curvatures) > 0,
            found=f"the second derivative along D is {min(curvatures):.2g} or more (the closed form agrees to "
            f"{off:.0e}): upwards in one direction at least",
        ),
        Case(
            setting="the proof's Hessian with respect to a column of V, by automatic differentiation",
            instead="a formula of the proof",
            holds=abs(ratio - 1) < 1e-6,
            found=f"the printed formula is {ratio:.3f} = N times it; with 1/N it agrees to {corrected:.0e}. The "
            "conclusion needs only its sign",
        ),
    ]
    order = np.arange(1, _DRAWS + 1, dtype=float)
    return Result(
        computed="Second derivatives along V + sD, by automatic differentiation and as (1/N) Σ p_y (1 − p_y), and ∇²Φ "
        "of a column of V.",
        cases=cases,
        numbers={"curvatures": curvatures, "printed_hessian_over_hessian": ratio},
        figures=[
            [
                Panel(
                    title="Curvature along D",
                    x="point, by scale of V (0, 0.1, 1, 10 in turn)",
                    y="d²Φ/ds²",
                    traces=[Trace(label="random U", x=order, y=np.array(curvatures), kind="points")],
                )
            ]
        ],
        caption="Above 0 at every sampled point.",
    )
