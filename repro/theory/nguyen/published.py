"""Sentences of Nguyen's text beside the paper's own tables (sections 4 and G)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from repro.figures.panels import Panel, Trace
from repro.theory.result import Case, Result
from repro.theory.statement import STATEMENTS

_TABLE_2 = {"sigmoid": 0, "softplus": 2}
"""The columns without augmentation."""
TABLE_5: dict[str, tuple[float | None, ...]] = {
    "VGG11": (10, 10, 78.92, 88.62),
    "VGG11-skip (rand)": (62.81, None, 64.49, None),
    "VGG11-skip (SGD)": (72.51, 85.55, 80.57, 89.32),
    "VGG13": (10, 10, 80.84, 90.58),
    "VGG13-skip (rand)": (61.50, None, 61.42, None),
    "VGG13-skip (SGD)": (70.24, 86.48, 81.94, 91.06),
    "VGG16": (10, 10, 81.33, 90.68),
    "VGG16-skip (rand)": (61.57, None, 61.46, None),
    "VGG16-skip (SGD)": (70.61, 86.42, 81.91, 91.00),
    "Densenet121": (86.41, 90.93, 89.31, 94.20),
    "Densenet121-skip (rand)": (52.07, None, 55.39, None),
    "Densenet121-skip (SGD)": (81.47, 90.32, 86.76, 93.23),
}
"""Test accuracies in percent, of Table 5 (sigmoid C-10, C-10+, softplus C-10, C-10+); the C-10 ones are Table 2's."""

TABLE_4: dict[str, tuple[float | None, ...]] = {
    "VGG11": (10, 10, 74.53, 88.80),
    "VGG11-skip (rand)": (53.65, None, 55.51, None),
    "VGG11-skip (SGD)": (64.45, 80.15, 76.18, 89.93),
    "VGG13": (10, 10, 74.04, 90.37),
    "VGG13-skip (rand)": (53.45, None, 53.33, None),
    "VGG13-skip (SGD)": (63.53, 82.40, 75.58, 91.04),
    "VGG16": (10, 10, 74.00, 90.38),
    "VGG16-skip (rand)": (53.83, None, 55.34, None),
    "VGG16-skip (SGD)": (65.77, 83.06, 76.52, 91.00),
}
"""As `TABLE_5`, of networks with strided convolutions in place of max-pooling."""

TABLE_1 = {"CNN13": (11.35, 99.20), "CNN13-skip (SGD)": (98.40, 99.14)}
"""Sigmoid, softplus on MNIST."""


def decreases(kind: str) -> list[float]:
    """By how many points accuracies without augmentation (``rand`` or ``SGD``) fall from Table 2 to Table 4."""
    drops = []
    for name, values in TABLE_4.items():
        if kind in name:
            drops += [
                before - after
                for column in _TABLE_2.values()
                if (before := TABLE_5[name][column]) is not None and (after := values[column]) is not None
            ]
    return drops


def gains() -> dict[str, float]:
    """What skips bring (SGD), by network and activation, in points: Tables 1 and 2."""
    in_points = {
        f"CNN13 {kind}": TABLE_1["CNN13-skip (SGD)"][column] - TABLE_1["CNN13"][column]
        for column, kind in enumerate(("sigmoid", "softplus"))
    }
    for name, values in TABLE_5.items():
        if "skip" not in name:
            for kind, column in _TABLE_2.items():
                plain, skip = values[column], TABLE_5[f"{name}-skip (SGD)"][column]
                assert plain is not None
                assert skip is not None
                in_points[f"{name} {kind}"] = skip - plain
    return in_points


def by_depth(names: Sequence[str]) -> dict[str, list[float]]:
    """Test accuracies of random features on these networks, by activation."""
    return {
        kind: [TABLE_5[f"{name}-skip (rand)"][column] or 0.0 for name in names] for kind, column in _TABLE_2.items()
    }


def _falls(values: Sequence[float]) -> bool:
    return all(a > b for a, b in itertools.pairwise(values))


def _written(lists: Mapping[str, Sequence[float]]) -> str:
    return "; ".join(f"{kind} {', '.join(f'{value:.2f}' for value in values)}" for kind, values in lists.items())


def tables(seed: int) -> Result:  # noqa: ARG001 (nothing is drawn)
    """Three sentences, checked by subtraction."""
    sgd, rand = decreases("SGD"), decreases("rand")
    means = {kind: sum(sgd[column::2]) / 3 for column, kind in enumerate(_TABLE_2)}
    brought = {name: value for name, value in gains().items() if "Densenet" not in name}
    worse = {name: value for name, value in brought.items() if value < 0}
    named, all_vgg = by_depth(("VGG11", "VGG16", "Densenet121")), by_depth(("VGG11", "VGG13", "VGG16"))
    needs = STATEMENTS["nguyen-tables"].conditions["means"]
    cases = [
        Case(
            setting="skips improve “almost all networks (with the exception of Densenet121)”",
            holds=len(worse) <= len(brought) // 4,
            found=f"{len(brought) - len(worse)} of {len(brought)} others; not "
            f"{', '.join(f'{name} ({value:+.2f} points)' for name, value in worse.items())}",
        ),
        Case(
            setting="random features get worse from VGG11 to VGG16 and Densenet121, which are named",
            holds=all(map(_falls, named.values())),
            found=_written(named),
        ),
        Case(
            setting="“decreased by 4-7%” with strided convolutions: trained whole, mean over VGG11, 13, 16",
            holds=all(4 <= value <= 7 for value in means.values()),
            found="; ".join(f"{kind} {value:.2f} points" for kind, value in means.items()),
        ),
        Case(
            setting="the same, each network and both ways of training",
            drops=[needs],
            holds=min(*sgd, *rand) >= 4 and max(*sgd, *rand) <= 7,
            found=f"{min(sgd):.2f} to {max(sgd):.2f} points trained whole, {min(rand):.2f} to {max(rand):.2f} as "
            "random features",
        ),
        Case(
            setting="VGG11, 13, 16",
            instead="VGG13 as well, which the sentence does not name",
            holds=all(map(_falls, all_vgg.values())),
            found=f"{_written(all_vgg)}: the step from VGG13 to VGG16 is up, within the deviations of 0.3 to 0.4",
        ),
    ]
    return Result(
        computed="Differences between the printed accuracies.",
        cases=cases,
        remark="A matter of wording; the tables' own message, that skips make sigmoid networks trainable, does not "
        "hang on it.",
        numbers={"decrease_sgd": sgd, "decrease_rand": rand, "gains": gains()},
        figures=[[_panel({"trained whole (SGD)": sgd, "random features": rand})]],
        caption="The dotted line is the 7 of the text.",
    )


def _panel(lists: Mapping[str, Sequence[float]]) -> Panel:
    return Panel(
        title="From max-pooling to strided convolutions",
        x="VGG11, 13, 16: sigmoid and softplus in turn",
        y="decrease (points)",
        traces=[
            Trace(label=name, x=np.arange(1.0, len(values) + 1), y=np.array(values), kind="points")
            for name, values in lists.items()
        ],
        y_scale="linear",
        y_limits=(0.0, 10.0),
        reference=7.0,
    )
