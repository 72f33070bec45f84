"""Distributions of activations, outputs, weights and gradients of chosen layers (Oyedotun Fig. 4, 5, 6)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from repro.measurements.description import FigureSpec, Measurement, Quantities
from repro.measurements.reading import Reading

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Float, Shaped
    from torch import Tensor

    from repro.measurements.probe import Probe
    from repro.networks import WeightLayer

KINDS = {
    "activations": "activation",
    "outputs": "output before normalisation",
    "weights": "weight",
    "gradients": "gradient of the weights",
}
"""What figures and claims speak of, with what stands at an axis."""

PERCENTILES = (0.0, 0.1, 1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0, 99.9, 100.0)
PER_DECADE, DECADES = 4, (-8, 8)
SAMPLE = 2**22
"""Percentiles and histogram of a larger tensor are those of about this many of its entries, evenly spaced."""


def distributions(probe: Probe) -> Iterator[Reading]:
    """Percentiles, moments and a histogram of what each chosen layer computes, holds and learns.

    The reading's mode says of what: ``activations`` (what the next weight layer reads) and ``outputs`` (what the layer
    returns, before its normalisation) in the probe's mode, both in training mode as ``training activations`` and
    ``training outputs``, ``weights``, and ``gradients`` of the weights. What needs a loss is left out without labels.
    """
    if probe.ranks.rank != 0:  # a few layers are not worth dealing
        return
    readings: list[Reading] = []

    def note(layer: WeightLayer, kind: str, tensor: Tensor) -> None:
        readings.append(Reading("distributions", layer.index, layer.name, kind, describe(tensor.detach())))

    last = probe.layers[-1]
    readers = {layer.index + 1 for layer in probe.chosen}
    numbers = {layer.index for layer in probe.chosen}

    def listeners(prefix: str) -> dict[str, Any]:
        def see_output(layer: WeightLayer, tensor: Tensor) -> None:
            if layer.index in numbers:
                note(layer, f"{prefix}outputs", tensor)
                if layer is last:  # nothing reads the scores
                    note(layer, f"{prefix}activations", tensor)

        def see_input(layer: WeightLayer, tensor: Tensor) -> None:
            if layer.index in readers:
                note(probe.layers[layer.index - 2], f"{prefix}activations", tensor)

        return {"read": see_input, "write": see_output}

    for layer in probe.chosen:
        if layer.first in probe.weights:
            note(layer, "weights", probe.weights[layer.first])
    probe.run(**listeners(""))
    if probe.labels is not None or probe.objective is not None:
        with probe.training(**listeners("training ")) as loss:
            gradients = probe.gradients_of(loss, probe.chosen)
        for layer in probe.chosen:
            if layer.first in gradients:
                note(layer, "gradients", gradients[layer.first])
    yield from sorted(readings, key=lambda reading: reading.layer)


def describe(tensor: Shaped[Tensor, "..."]) -> dict[str, float]:
    """A tensor's distribution as numbers.

    ``p0`` (minimum) to ``p100`` (maximum) as in `PERCENTILES`, ``mean`` and ``std`` (population) of the finite entries;
    ``count``, ``nan``, ``inf``, ``-inf``: how many entries there are in all and of these kinds; and ``bin N``: how many
    finite entries lie between `edges()` N - 1 and N, empty bins left out.
    """
    import torch

    flat = tensor.detach().flatten()
    kinds = {"nan": flat.isnan(), "inf": flat == torch.inf, "-inf": flat == -torch.inf}
    quantities = {"count": float(flat.numel()), **{name: float(kind.sum()) for name, kind in kinds.items()}}
    finite = flat[flat.isfinite()].double() if any(quantities[name] for name in kinds) else flat.double()
    if not finite.numel():
        return quantities
    low, high = (float(bound) for bound in finite.aminmax())
    sample = finite[:: -(-finite.numel() // SAMPLE)].sort().values
    indices = (torch.tensor(PERCENTILES, dtype=torch.float64) / 100 * (len(sample) - 1)).round().long()
    percentiles = dict(zip(PERCENTILES, sample[indices.to(sample.device)].tolist(), strict=True))
    percentiles |= {PERCENTILES[0]: low, PERCENTILES[-1]: high}
    quantities |= {f"p{percent:g}": value for percent, value in percentiles.items()}
    quantities |= {"mean": float(finite.mean()), "std": float(finite.std(correction=0))}
    counts = torch.bincount(torch.bucketize(sample, edges().to(sample.device)), minlength=len(edges()) + 1)
    return quantities | {f"bin {number}": float(count) for number, count in enumerate(counts.tolist()) if count}


@cache
def edges() -> Float[Tensor, " edges"]:
    """The histogram's edges: ±10^(k/4) from 1e-8 to 1e8, the same for every tensor, so that histograms compare.

    Bin 0 lies below all of them and the last above; the one in the middle, between ±1e-8, holds zeros.
    """
    import torch

    powers = torch.arange(DECADES[0] * PER_DECADE, DECADES[1] * PER_DECADE + 1, dtype=torch.float64) / PER_DECADE
    positive = 10.0**powers
    return torch.cat([-positive.flip(0), positive])


def _over_training(readings: pd.DataFrame) -> dict[str, float]:
    rows = readings[readings["quantity"].isin(["p0", "p1", "p99", "p100"]) & readings["mode"].isin(KINDS)]
    quantities: dict[str, float] = {}
    for (layer, kind), of_tensor in rows.groupby(["layer", "mode"], observed=True):
        table = of_tensor.pivot_table(index="step", columns="quantity", values="value", dropna=False, observed=True)
        magnitudes = table.abs()
        extremes = magnitudes[["p0", "p100"]].max(axis=1)
        quantities[f"{kind}_extreme[{layer}]"] = float(extremes.max())
        quantities[f"{kind}_final[{layer}]"] = float(extremes.iloc[-1])
        quantities[f"{kind}_most[{layer}]"] = float(magnitudes[["p1", "p99"]].max(axis=1).max())
    return quantities


_ON_AXES = "the vertical axis is linear around 0 and logarithmic beyond."
_HEADINGS = {
    "activations": (
        "activations",
        f"""What the next weight layer reads, on the fixed probe batch with the running statistics of the normalisation,
            against the optimiser step; {_ON_AXES}""",
    ),
    "outputs": (
        "outputs before normalisation",
        f"""What the layer returns before its normalisation, on the fixed probe batch, against the optimiser step;
            {_ON_AXES}""",
    ),
    "weights": ("weights", f"The layer's weights against the optimiser step; {_ON_AXES}"),
    "gradients": (
        "gradients",
        f"""The gradient of the layer's weights (mean cross-entropy of the probe, in training mode) against the
            optimiser step; {_ON_AXES}""",
    ),
}
DISTRIBUTIONS = Measurement(
    name="distributions",
    says="percentiles, moments and a histogram of activations, outputs, weights and gradients of chosen layers",
    take=distributions,
    figures=tuple(
        FigureSpec(
            name=f"distributions-{kind}",
            heading=f"Distribution of the {heading}",
            caption=caption,
            draw="repro.figures.distributions:over_time",
            argument=kind,
            mode=kind,
        )
        for kind, (heading, caption) in _HEADINGS.items()
    ),
    quantities=(
        Quantities(
            words={
                f"{kind}_{name}": words.format(kind)
                for kind in KINDS
                for name, words in (
                    ("extreme", "largest of the {} of layer {{}} in magnitude, over training"),
                    ("most", "bound on the magnitude of the central 98 % of the {} of layer {{}}, over training"),
                    ("final", "largest of the {} of layer {{}} in magnitude, at the end"),
                )
            },
            values=_over_training,
        ),
    ),
    over_time=True,
)
