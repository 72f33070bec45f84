"""Curvature of the loss: the largest and smallest eigenvalues of its Hessian, and the trace, whole and by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from repro.errors import UserError, first_line
from repro.measurements.description import FigureSpec, Measurement, PanelSpec, at_end
from repro.measurements.reading import Reading

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from repro.measurements.probe import Probe

STEPS = 20
"""Steps of Lanczos's iteration at most: as many vectors as long as the network's parameters are held."""

VECTORS = 10
"""Random vectors for the traces."""

SKEW = 1e-3
"""What u·Hv and v·Hu may differ by in float32, in lengths of Hv, in the median over the vectors."""


def curvature(probe: Probe) -> Iterator[Reading]:
    """The Hessian of the loss over the probe, in training mode, with respect to all parameters that train.

    Mode ``whole`` (layer 0): ``largest``, ``second``, ``third`` and ``smallest`` eigenvalue by Lanczos's iteration,
    ``error``, a bound on how far the largest is off, ``trace`` by Hutchinson's estimator with ``trace_error``, its
    standard error, and ``parameters``, how many there are. Mode ``layer``: trace, its error and the parameters of the
    block of every layer's own weight; of `Probe.chosen` layers the block's eigenvalues, too.
    """
    import torch

    if probe.ranks.rank != 0:
        return
    generator = torch.Generator().manual_seed(0)
    own = [parameter for parameter in probe.network.parameters() if parameter.requires_grad]
    with probe.training() as loss:
        if not own or not loss.requires_grad:
            probe.leave_out("curvature: nothing trains in", "the network")
            return
        pairs = [
            (parameter, slope) for parameter, slope in zip(own, _slopes(loss, own), strict=True) if slope is not None
        ]
        own, slopes = [parameter for parameter, _ in pairs], [slope for _, slope in pairs]
        if any(parameter.is_complex() for parameter in own):
            raise UserError("curvature is of real parameters, and the network has complex ones; measure gradients")
        traces, skew = _traces(own, slopes, generator)
        if skew > SKEW * (20 if any(parameter.dtype.itemsize < 4 for parameter in own) else 1):
            reason = "curvature: torch's second derivatives are not symmetric (weight_norm's, in 2.15), so wrong, in"
            probe.leave_out(reason, "the network")
            return
        whole = _ends(own, slopes, generator) | traces(range(len(own)))
        yield Reading("curvature", 0, "", "whole", whole)
        chosen = {layer.index for layer in probe.chosen}
        for layer in probe.firsts:
            indices = [i for i, parameter in enumerate(own) if id(parameter) in layer.sources]
            if not indices:
                probe.leave_out("curvature: no parameter that trains is in the weights of", layer)
                continue
            values = traces(indices)
            if layer.index in chosen:
                values = _ends([own[i] for i in indices], [slopes[i] for i in indices], generator) | values
            yield Reading("curvature", layer.index, probe.weight_name(layer), "layer", values)


def _slopes(loss: Tensor, parameters: Sequence[nn.Parameter]) -> list[Tensor | None]:
    import torch

    try:
        return list(torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True))
    except RuntimeError as error:
        raise _no_second(error) from error


def _no_second(error: RuntimeError) -> UserError:
    return UserError(
        f"curvature needs second derivatives, and a part of the network has none ({first_line(error)}); "
        "measure gradients"
    )


def _bend(parameters: Sequence[nn.Parameter], slopes: Sequence[Tensor], along: Sequence[Tensor]) -> list[Tensor]:
    """The Hessian's block times a vector; both are lists of one tensor for each parameter."""
    import torch

    pairs = [(slope, part) for slope, part in zip(slopes, along, strict=True) if slope.requires_grad]
    if not pairs:  # the loss is linear in all of them
        return [torch.zeros_like(parameter) for parameter in parameters]
    outputs, parts = zip(*pairs, strict=True)
    try:
        bent = torch.autograd.grad(outputs, parameters, parts, retain_graph=True, allow_unused=True)
    except RuntimeError as error:
        raise _no_second(error) from error
    return [
        torch.zeros_like(parameter) if part is None else part for parameter, part in zip(parameters, bent, strict=True)
    ]


def _split(flat: Tensor, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    pieces = flat.split([parameter.numel() for parameter in parameters])
    return [piece.view_as(each).to(each.dtype) for piece, each in zip(pieces, parameters, strict=True)]


def _ends(parameters: Sequence[nn.Parameter], slopes: Sequence[Tensor], generator: torch.Generator) -> dict[str, float]:
    """Eigenvalues of the block of these parameters."""
    import torch

    from repro.spectra.lanczos import lanczos

    like = parameters[0]
    count = sum(parameter.numel() for parameter in parameters)
    start = torch.randn(count, generator=generator, dtype=torch.float64).to(like.device, like.dtype)

    def product(vector: Tensor) -> Tensor:
        return torch.cat([part.flatten() for part in _bend(parameters, slopes, _split(vector, parameters))])

    values, errors = lanczos(product, start, steps=STEPS)
    names = ("largest", "second", "third")
    eigenvalues = dict(zip(names, values.flip(0).tolist(), strict=False))
    return {**eigenvalues, "smallest": float(values[0]), "error": float(errors[-1])}


def _traces(
    parameters: Sequence[nn.Parameter], slopes: Sequence[Tensor], generator: torch.Generator
) -> tuple[Callable[[Sequence[int]], dict[str, float]], float]:
    """The traces of the blocks of some of the parameters, of one set of random vectors, and how far H is from Hᵀ."""
    import torch

    from repro.spectra.lanczos import signs

    count = sum(parameter.numel() for parameter in parameters)
    drawn, skews = [], []
    before: tuple[Tensor, Tensor] | None = None
    for vector in signs(count, VECTORS, generator, parameters[0]):
        along = _split(vector, parameters)
        bent = _bend(parameters, slopes, along)
        flat = torch.cat([part.flatten() for part in bent])
        if before is not None:
            skew = (before[0] * flat).sum(dtype=torch.float64) - (before[1] * vector).sum(dtype=torch.float64)
            skews.append(abs(float(skew)) / max(float(flat.norm()), 1e-300))
        before = vector, flat
        drawn.append([float((one * other).sum(dtype=torch.float64)) for one, other in zip(along, bent, strict=True)])
    terms = torch.tensor(drawn, dtype=torch.float64)

    def of(indices: Sequence[int]) -> dict[str, float]:
        sums = terms[:, list(indices)].sum(1)
        size = sum(parameters[index].numel() for index in indices)
        error = float(sums.std() / len(sums) ** 0.5)
        return {"trace": float(sums.mean()), "trace_error": error, "parameters": float(size)}

    return of, float(torch.tensor(skews).median())


CURVATURE = Measurement(
    name="curvature",
    says="largest and smallest eigenvalues and trace of the loss's Hessian, whole and by layer (takes as long as 85 "
    "training steps at 110 layers)",
    take=curvature,
    figures=(
        FigureSpec(
            name="curvature",
            heading="Curvature of the loss",
            caption="""The Hessian of the probe's loss (training mode) with respect to all parameters. Left: its
                largest eigenvalue against the optimiser step. Right: the mean curvature of a weight in every layer,
                which is the trace of the layer's block (Hutchinson's estimator) divided by its number of weights.""",
            panels=(
                PanelSpec(
                    title="Largest eigenvalue",
                    y="largest eigenvalue of the Hessian",
                    mode="whole",
                    quantity="largest",
                    against="step",
                ),
                PanelSpec(
                    title="Mean curvature of a layer's weights",
                    y="trace / weights",
                    mode="layer",
                    quantity="trace",
                    over="parameters",
                    scale="linear",
                ),
            ),
        ),
    ),
    quantities=(
        at_end(
            "curvature_largest", "largest eigenvalue of the loss's Hessian", mode="whole", quantity="largest", first=0
        ),
        at_end("curvature_trace", "trace of the loss's Hessian", mode="whole", quantity="trace", first=0),
    ),
)
