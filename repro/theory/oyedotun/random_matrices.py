"""Random square matrices: non-singular almost surely, and how near to singular (Oyedotun, Proposition 1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

from repro.figures.panels import Panel, Trace
from repro.theory.result import Case, Result
from repro.theory.statement import STATEMENTS

_DRAWS, _SIZE = 2000, 32
_SIZES = (2, 4, 8, 16, 32, 64)

Draw = Callable[[np.random.Generator, tuple[int, ...]], Float[np.ndarray, "..."]]

CONTINUOUS: dict[str, Draw] = {
    "Gaussian": lambda generator, shape: generator.normal(size=shape),
    "uniform": lambda generator, shape: generator.uniform(-np.sqrt(3), np.sqrt(3), size=shape),
    "Gaussian of mean 1": lambda generator, shape: generator.normal(1.0, 1.0, size=shape),
}
"""Entries of variance 1."""


def signs(generator: np.random.Generator, shape: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    """Entries −1 and 1: not a continuous distribution."""
    return np.asarray(generator.choice(np.array([-1.0, 1.0]), size=shape))


def edelman(scaled: Float[np.ndarray, " values"]) -> Float[np.ndarray, " values"]:
    """Limit law of √n · σmin of real matrices with entries of mean 0, variance 1: P(√n σmin ≤ x) = 1 − e^(−x²/2 − x).

    Edelman 1988 for Gaussian entries; Tao and Vu 2010 for any with enough moments.
    """
    law: Float[np.ndarray, " values"] = 1 - np.exp(-(scaled**2) / 2 - scaled)
    return law


def distance_to_law(scaled: Float[np.ndarray, " draws"]) -> float:
    """Kolmogorov's distance of draws of √n · σmin from `edelman`."""
    ordered = np.sort(scaled)
    law = edelman(ordered)
    steps = np.arange(len(ordered) + 1) / len(ordered)
    return float(np.maximum(np.abs(law - steps[1:]), np.abs(law - steps[:-1])).max())


def mean_log_condition(n: int) -> float:
    """E log κ of an n × n Gaussian matrix for large n: log n + 1.537 (Edelman 1988)."""
    return float(np.log(n) + 1.537)


def proposition_1(seed: int) -> Result:
    """The smallest singular value of random matrices against the law, and matrices with discrete entries."""
    generator = np.random.default_rng(seed)
    smallest: dict[str, Float[np.ndarray, " draws"]] = {}
    kappas, distances, regular = {}, {}, {}
    for name, draw in CONTINUOUS.items():
        spectra = np.linalg.svd(draw(generator, (_DRAWS, _SIZE, _SIZE)), compute_uv=False)
        smallest[name] = np.sort(spectra[:, -1]) * np.sqrt(_SIZE)
        regular[name] = spectra[:, -1] > _SIZE * np.finfo(float).eps * spectra[:, 0]
        distances[name] = distance_to_law(smallest[name])
    for n in _SIZES:
        gaussian = np.linalg.svd(generator.normal(size=(_DRAWS // 4, n, n)), compute_uv=False)
        kappas[n] = float(np.mean(np.log(gaussian[:, 0] / gaussian[:, -1])))
    singular = {n: float(np.mean(np.linalg.matrix_rank(signs(generator, (_DRAWS, n, n))) < n)) for n in (2, 3, 4, 8)}
    least = {name: float(values[0]) for name, values in smallest.items()}
    cases = [
        Case(
            setting=f"entries {name}, n = {_SIZE}",
            holds=bool(regular[name].all()),
            found=f"the smallest √n σmin of {_DRAWS:,} draws is {least[name]:.1e}"
            + ("" if name.endswith("1") else f"; distance from the limit law {distances[name]:.3f}"),
        )
        for name in CONTINUOUS
    ]
    cases.append(
        Case(
            setting="entries −1 and 1, n = 2",
            drops=[STATEMENTS["oyedotun-proposition-1"].conditions["continuous"]],
            holds=singular[2] == 0,
            found=f"{100 * singular[2]:.0f} % are singular (n = 8: {100 * singular[8]:.1f} %)",
        )
    )
    return Result(
        computed=f"Singular values of {_DRAWS:,} random {_SIZE} × {_SIZE} matrices of each distribution.",
        cases=cases,
        remark="Non-singular is not well-conditioned: κ of a random square matrix grows like n, so that every square "
        "layer of a hundred units starts with κ in the hundreds.",
        numbers={
            "distance_to_law": distances,
            "smallest": least,
            "mean_log_kappa": {str(n): value for n, value in kappas.items()},
            "singular_share_of_sign_matrices": {str(n): value for n, value in singular.items()},
        },
        figures=[_panels(smallest, kappas)],
        caption="Left: the distribution of the smallest singular value (a mean that is not 0 changes σmax, and σmin "
        "hardly). Right: the typical κ against the size.",
    )


def _panels(smallest: Mapping[str, Float[np.ndarray, " draws"]], kappas: Mapping[int, float]) -> list[Panel]:
    grid = np.linspace(0, 3, 61)
    places = np.linspace(0, _DRAWS - 1, 200).astype(int)
    sizes = np.array(_SIZES, dtype=float)
    drawn = [Trace(label=name, x=values[places], y=(places + 1) / _DRAWS) for name, values in smallest.items()]
    return [
        Panel(
            title=f"Smallest singular value, n = {_SIZE}",
            x="√n · σmin",
            y="share of draws below",
            traces=[Trace(label="limit law", x=grid, y=edelman(grid), marked=False), *drawn],
            y_scale="linear",
            whole=False,
        ),
        Panel(
            title="Condition number of Gaussian matrices",
            x="size n",
            y="exp E log κ",
            x_scale="log",
            traces=[
                Trace(label="limit law", x=sizes, y=np.exp([mean_log_condition(n) for n in _SIZES])),
                Trace(label="Gaussian", x=sizes, y=np.exp(list(kappas.values())), kind="points"),
            ],
        ),
    ]
