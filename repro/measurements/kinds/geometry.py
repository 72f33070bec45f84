"""Where representations lie: how far from the input, and how they amplify a change of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from repro.errors import UserError
from repro.measurements.description import FigureSpec, Measurement, PanelSpec, at_end
from repro.measurements.reading import Reading

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Shaped
    from torch import Tensor

    from repro.measurements.probe import Probe
    from repro.networks import WeightLayer

_COLUMNS = 2**14


def amplification(probe: Probe) -> Iterator[Reading]:
    """The bound of Proposition 3 (Eq. 27) for every representation, from training to as many held-out images.

    ``condition_number``: κ(H) of the matrix n × N on the probe. ``relative_change``: ‖ΔH‖ / ‖H‖ in the spectral norm,
    where ΔH = H(held-out images) − H(probe). ``bound``: their product, which bounds the relative change of a linear
    layer's least-squares solution to first order. In eval mode, both batches in one pass.
    """
    from repro.measurements import passes
    from repro.networks.passing import joined, samples
    from repro.spectra import conditioning, cost

    count = probe.samples
    if probe.held_out is None or samples(probe.held_out) != count:
        raise UserError("amplification compares the probe with as many held-out images; pass held_out")
    mine = probe.ranks.dealer()
    readings: list[Reading] = []

    def see(layer: WeightLayer, tensor: Tensor) -> None:
        tensor = passes.by_sample(tensor, 2 * count)
        if len(tensor) != 2 * count:
            probe.leave_out(f"amplification: not one row for each of {2 * count} images in what is read by", layer)
            return
        if not mine(cost((count, tensor.numel() // len(tensor)))):
            return
        before, after = tensor.flatten(1).tensor_split(2)
        both = conditioning([before, after - before])
        number, change = float(both.condition_number[0]), float(both.sigma_max[1] / both.sigma_max[0])
        values = {"condition_number": number, "relative_change": change, "bound": number * change}
        readings.append(Reading("amplification", layer.index - 1, layer.name, "matrix", values))

    probe.network.eval()
    probe.run(read=see, inputs=joined(probe.inputs, probe.held_out))
    yield from readings


def distance(probe: Probe) -> Iterator[Reading]:
    """How far every representation is from the input, and from the first one (Oyedotun 6.5 (d), Eq. 17).

    Modes ``input`` and ``first`` say from which reference R, the images or representation 1. ``relative_distance`` is
    ‖h − P(R)‖ / ‖P(R)‖ (Frobenius), where P carries R as an identity shortcut does: every stride-th pixel, new
    channels zero; it is left out where h has no such form (after pooling, in transformers). ``cka`` is the linear
    centred kernel alignment (Kornblith et al. 2019) of the two: 1 where the samples lie alike up to rotation and scale.
    It is biased: near 1, too, where there are more features than samples, whatever they are. ``cka_debiased`` is the
    same of the unbiased estimator (`debiased_cka`), near 0 for independent features; it needs 4 samples or more.
    """
    from repro.measurements import passes

    if probe.ranks.rank != 0:  # two Gram matrices a layer
        return
    references: dict[str, tuple[Tensor, Tensor]] = {}
    readings: list[Reading] = []

    def see(layer: WeightLayer, tensor: Tensor) -> None:
        number = layer.index - 1
        tensor = passes.by_sample(tensor, probe.samples)
        if len(tensor) != probe.samples:
            probe.leave_out(f"distance: not one row for each of {probe.samples} images in what is read by", layer)
            return
        gram = centred_gram(tensor)
        if number <= 1:
            references.setdefault(("input", "first")[number], (tensor.clone(), gram))
        for mode, (reference, of_reference) in references.items():
            carried = carry(reference, tensor.shape)
            values = {"cka": _alignment(gram, of_reference)}
            if len(gram) > 3:
                values["cka_debiased"] = debiased_cka(gram, of_reference)
            if carried is not None:
                values["relative_distance"] = float((tensor - carried).norm() / carried.norm())
            readings.append(Reading("distance", number, layer.name, mode, values))

    probe.run(read=see)
    yield from readings


def carry(reference: Shaped[Tensor, "batch ..."], shape: torch.Size) -> Shaped[Tensor, "batch ..."] | None:
    """A tensor brought to another shape as an identity shortcut does it; None where no such shortcut exists."""
    import torch.nn.functional as F

    if reference.shape == shape:
        return reference
    if reference.ndim != 4 or len(shape) != 4 or any(shape[n] > reference.shape[n] for n in (2, 3)):
        return None
    more = shape[1] - reference.shape[1]
    if more < 0:
        return None
    rows, columns = -(-reference.shape[2] // shape[2]), -(-reference.shape[3] // shape[3])
    strided = reference[:, :, ::rows, ::columns]
    return F.pad(strided, (0, 0, 0, 0, 0, more)) if strided.shape[2:] == shape[2:] else None


def centred_gram(tensor: Shaped[Tensor, "batch ..."]) -> Float[Tensor, "batch batch"]:
    """Inner products of the samples, centred over the samples, in float64; a block of features at a time."""
    import torch

    flat = tensor.flatten(1)
    gram = torch.zeros(len(flat), len(flat), dtype=torch.float64, device=flat.device)
    for columns in flat.split(_COLUMNS, dim=1):
        block = columns.double()  # the columns themselves if they are float64: never changed in place
        block = block - block.mean(0)
        gram.addmm_(block, block.mT)
    return gram


def debiased_cka(one: Float[Tensor, "batch batch"], other: Float[Tensor, "batch batch"]) -> float:
    """The alignment of two Gram matrices of 4 samples or more by the unbiased estimator of HSIC, which may be negative.

    Song et al. (2012) for the estimator, Nguyen, Raghu and Kornblith (2021) for its use: without the samples' products
    with themselves. Written as the cosine of the matrices so centred that the off-diagonal entries of each row sum to 0
    (Székely and Rizzo 2014), which is the same.
    """
    return _alignment(_centred_off_diagonal(one), _centred_off_diagonal(other))


def _centred_off_diagonal(gram: Float[Tensor, "batch batch"]) -> Float[Tensor, "batch batch"]:
    count, off = len(gram), gram.clone().fill_diagonal_(0)
    sums = off.sum(0)
    off -= (sums[:, None] + sums) / (count - 2) - sums.sum() / ((count - 1) * (count - 2))
    return off.fill_diagonal_(0)


def _alignment(one: Float[Tensor, "batch batch"], other: Float[Tensor, "batch batch"]) -> float:
    return float((one * other).sum() / (one.norm() * other.norm()))


AMPLIFICATION = Measurement(
    name="amplification",
    says="κ(H) times the relative change of H from training to held-out images (Proposition 3)",
    take=amplification,
    figures=(
        FigureSpec(
            name="amplification",
            heading="From training to held-out images",
            caption="""Left: the relative change of every representation, in the spectral norm, from the training
                images of the probe to as many held-out images. Right: this change times κ of the representation as
                a matrix, which bounds the relative change of a linear layer's solution (Proposition 3); it is
                infinite where κ is over 8.4e6.""",
            panels=(
                PanelSpec(
                    title="From training to held-out images",
                    y="relative change ‖ΔH‖ / ‖H‖",
                    mode="matrix",
                    quantity="relative_change",
                ),
                PanelSpec(
                    title="Bound on the solution's change", y="κ(H) · ‖ΔH‖ / ‖H‖", mode="matrix", quantity="bound"
                ),
            ),
        ),
    ),
    quantities=(
        at_end(
            "bound_median", "median over the representations of Proposition 3's bound", mode="matrix", quantity="bound"
        ),
    ),
)
DISTANCE = Measurement(
    name="distance",
    says="distance of every representation from the input and the first one, and its similarity to the input (CKA)",
    take=distance,
    figures=(
        FigureSpec(
            name="distance",
            heading="Distance from the input",
            caption="""Left: the distance of every representation from the input images, and from the first one, as the
                identity shortcuts carry them (subsampled and padded with zeros where the shape changes), relative to
                their norm. Right: the linear centred kernel alignment (CKA) with the input images, which is 1 if both
                place the samples alike up to rotation and scale. The debiased CKA (Song et al. 2012; Nguyen, Raghu and
                Kornblith 2021) is near 0 for independent representations; the plain one is near 1 for any with more
                features than samples.""",
            panels=(
                PanelSpec(
                    title="Distance from the input",
                    y="‖h − P x‖ / ‖P x‖",
                    mode="input",
                    quantity="relative_distance",
                ),
                PanelSpec(
                    title="Distance from the first representation",
                    y="‖h − P h₁‖ / ‖P h₁‖",
                    mode="first",
                    quantity="relative_distance",
                ),
                PanelSpec(
                    title="Likeness to the input images",
                    y="linear CKA with x",
                    mode="input",
                    quantity="cka",
                    scale="linear",
                    limits=(0.0, 1.02),
                ),
                PanelSpec(
                    title="The same, debiased",
                    y="debiased linear CKA with x",
                    mode="input",
                    quantity="cka_debiased",
                    scale="linear",
                    limits=(-0.1, 1.02),
                ),
            ),
        ),
    ),
    quantities=(
        at_end(
            "distance_input_median",
            "median distance of the representations from the input, relative to it",
            mode="input",
            quantity="relative_distance",
            first=2,
        ),
        at_end(
            "distance_median",
            "median distance of the representations from the first, relative to it",
            mode="first",
            quantity="relative_distance",
            first=2,
        ),
        at_end(
            "likeness_median",
            "median likeness (CKA) of the representations to the input",
            mode="input",
            quantity="cka",
            first=2,
        ),
        at_end(
            "likeness_debiased_median",
            "median likeness (debiased CKA) of the representations to the input",
            mode="input",
            quantity="cka_debiased",
            first=2,
        ),
    ),
)
