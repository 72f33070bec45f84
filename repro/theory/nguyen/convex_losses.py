"""Square and hinge loss beside cross-entropy (Nguyen, appendix C)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import mpmath
import numpy as np
import torch
from torch import Tensor

from repro.figures.panels import Panel, Trace
from repro.theory.nguyen import losses, skip_points
from repro.theory.nguyen.descent import Path, along
from repro.theory.nguyen.skip_points import CLASSES, Point, direction
from repro.theory.result import Case, Result
from repro.theory.statement import STATEMENTS


def to_minimiser(point: Point, loss: Callable[[Tensor, Tensor], Tensor]) -> Path:
    """The loss on the straight way from V to V* with G = Y, an exact minimiser of square and hinge loss."""
    targets = losses.one_hot(point.labels, CLASSES) - point.own
    return along(point, direction(point, targets) - point.v, np.linspace(0, 1, 101).tolist(), loss)


def cross_entropy_of_margin(margin: float) -> mpmath.mpf:
    """log(1 + (m − 1) e^−t), with as many digits as it takes."""
    with mpmath.workdps(30 + int(margin)):
        return mpmath.log1p((CLASSES - 1) * mpmath.exp(-margin))


def hinge_around_a_top(labels: losses.Labels, seed: int) -> float:
    """The largest hinge loss of 100 neighbours of scores that have margins of 3."""
    top, generator = 3 * losses.one_hot(labels, CLASSES), torch.Generator().manual_seed(seed)
    neighbours = (top + 0.5 * (torch.rand(top.shape, generator=generator).double() - 0.5) for _ in range(100))
    return max(float(losses.hinge(scores, labels)) for scores in neighbours)


def theorem_c_3(seed: int) -> Result:
    """Segments to exact minimisers, the infimum of cross-entropy, and flat tops of the hinge loss."""
    points = {"as drawn": skip_points.drawn(seed), "stuck (sigmoid CNN13)": skip_points.stuck(seed)}
    chosen = {"square": losses.square, "hinge": losses.hinge}
    paths = {
        f"{kind}, {name}": to_minimiser(point, loss) for kind, loss in chosen.items() for name, point in points.items()
    }
    square = paths["square, as drawn"]
    parabola = float(np.abs(square.loss / square.loss[0] - (1 - square.at) ** 2).max())
    infimum = [cross_entropy_of_margin(t) for t in (10.0, 1000.0)]
    around = hinge_around_a_top(points["as drawn"].labels, seed)
    second = float(np.diff(square.loss, 2).min() / np.diff(square.at)[0] ** 2)
    cases = [
        *(
            Case(
                setting=f"{name}: straight to G = Y",
                drops=list(skip_points.NETWORK.values()) if "CNN" in name else (),
                holds=path.rise <= 1e-9 and float(path.loss[-1] / path.loss[0]) < 1e-12,
                found=f"from {path.loss[0]:.3g} without rising to {path.loss[-1]:.0e}",
            )
            for name, path in paths.items()
        ),
        Case(
            setting="no local maximum: square loss",
            holds=second > 0,
            found=f"on that way to G = Y its second derivative is {second:.4g} or more: upwards in one direction",
        ),
        Case(
            setting="cross-entropy of large margins",
            instead="a sentence of the proof, “φ attains its infimum”",
            holds=infimum[1] <= 0,
            found=f"at margin 10 it is {mpmath.nstr(infimum[0], 3)}, at 1,000 {mpmath.nstr(infimum[1], 3)}: above 0 at "
            "every point. The proof needs only points within ε of it",
        ),
        Case(
            setting="no local maximum: hinge loss",
            drops=[STATEMENTS["nguyen-theorem-c.3"].conditions["loss"]],
            holds=around > 0,
            found=f"at margins of 3 the loss is 0 all around (largest of 100 neighbours {around:.0f}): every such "
            "point is a local maximum, though not a strict one",
        ),
    ]
    return Result(
        computed="Losses along the straight way in V to scores G = Y, in float64.",
        cases=cases,
        remark=f"Along it the square loss is (1 − s)² of its start (to {parabola:.0e}).",
        numbers={
            "paths": {name: path.loss.tolist() for name, path in paths.items()},
            "cross_entropy_at_margins": {"10": mpmath.nstr(infimum[0], 6), "1000": mpmath.nstr(infimum[1], 6)},
        },
        figures=[[_panel(paths)]],
        caption="Convex along the way and least at its end, so that the loss never rises.",
    )


def _panel(paths: Mapping[str, Path]) -> Panel:
    return Panel(
        title="Straight to an exact minimiser",
        x="share of the way",
        y="loss / loss at the start",
        traces=[Trace(label=name, x=path.at, y=path.loss / path.loss[0]) for name, path in paths.items()],
        y_scale="linear",
        whole=False,
    )
