"""Every convolution as the linear map that it is on its images, beside its kernel's unfoldings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from repro.measurements.description import FigureSpec, Measurement
from repro.measurements.kappa import Kappa, in_words
from repro.measurements.kinds.condition_numbers import WEIGHTS
from repro.measurements.reading import Reading

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from repro.measurements.probe import Probe
    from repro.networks import WeightLayer
    from repro.spectra import Convolution

SMALL = 512
"""Rows and columns up to which the map with its zero padding is made as a matrix."""


def operators(probe: Probe) -> Iterator[Reading]:
    """κ, σmax, σmin and rank of every weight layer's map, on images of the size that it reads.

    Mode ``circular``: images wrap around at their borders (Sedghi, Gupta and Long 2019), with the layer's stride,
    dilation and groups; a linear layer's map is its weight. Mode ``padded``: the map exactly as it acts, with its zero
    padding, where its matrix has at most `SMALL` rows and columns.
    """
    import numpy as np

    from repro.measurements.conditioning import values
    from repro.spectra import conditioning, operator_conditionings, operator_singular_values

    sites = list(_sites(probe))
    mine = [sites[place] for place in probe.ranks.assign([convolution.cost for _, convolution in sites])]
    found = operator_conditionings([convolution for _, convolution in mine])
    for (layer, convolution), circular in zip(mine, found, strict=True):
        every = operator_singular_values(convolution).numpy().astype(np.float32) if probe.spectra else None
        yield Reading("operators", layer.index, layer.name, "circular", values(circular, 0), every)
        if (matrix := padded_matrix(layer, convolution)) is not None:
            yield Reading("operators", layer.index, layer.name, "padded", values(conditioning([matrix]), 0))


def _sites(probe: Probe) -> Iterator[tuple[WeightLayer, Convolution]]:
    """The layers with their maps, on images of the size that a layer reads of the probe's first."""
    from repro.spectra import Convolution

    sizes: dict[int, tuple[int, ...]] = {}
    probe.network.eval()
    convolutions = [layer for layer in probe.layers if layer.kind in ("convolution", "transposed")]
    probe.run_few(convolutions, sizes, read=lambda layer, tensor: sizes.update({layer.index: tuple(tensor.shape)}))
    for layer in probe.layers:
        weight = probe.weights.get(layer.first)
        if weight is not None and layer.parameter is not None:  # the first's may be turned
            weight = layer.part(layer.parameter.detach())
        if weight is not None and weight.ndim == 2:
            yield layer, Convolution(weight=weight)
        elif weight is None or layer.index not in sizes:
            probe.leave_out("operators: the map of images is not known of", layer)
        else:
            names = ("stride", "dilation", "groups")
            stride, dilation, groups = (layer.options[name] for name in names)
            image = _image(layer, sizes[layer.index][2 - weight.ndim :], stride)
            yield layer, Convolution(weight=weight, image=image, stride=stride, dilation=dilation, groups=groups)


def _image(layer: WeightLayer, read: tuple[int, ...], stride: tuple[int, ...]) -> tuple[int, ...]:
    """The images' size; of a transposed convolution, that of what it returns."""
    if layer.kind == "transposed":
        return tuple(size * step for size, step in zip(read, stride, strict=True))
    return read


def padded_matrix(layer: WeightLayer, convolution: Convolution) -> Float[Tensor, "columns rows"] | None:
    """The map of a convolution with its zero padding, transposed; None where that is large, or padding is not zeros."""
    import torch
    import torch.nn.functional as F

    plain = layer.kind == "convolution" and getattr(layer.module, "padding_mode", "zeros") == "zeros"
    one, columns = convolution, convolution.weight.shape[1] * convolution.groups * math.prod(convolution.image)
    if not plain or not one.image or columns > SMALL:
        return None
    convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[len(one.image)]
    pixels = torch.eye(columns, dtype=one.weight.dtype, device=one.weight.device)
    images, padding = pixels.view(columns, -1, *one.image), layer.options["padding"]
    matrix: Tensor = convolve(images, one.weight, None, one.stride, padding, one.dilation, one.groups).flatten(1)
    return matrix if matrix.shape[1] <= SMALL else None


def _kappa(mode: str, key: str, of: str, title: str, found: str) -> Kappa:
    words = in_words(f"the layers' maps of images ({of})", f"κ of the map of layer {{}} ({of})")
    return Kappa(measurement="operators", modes=(mode,), key=key, words=words, title=title, found=found)


_CIRCULAR = _kappa("circular", "operators", "circular boundary", "Maps of images", "As a map of wrapped images")
_PADDED = _kappa("padded", "operators_padded", "zero padding", "Maps with zero padding", "With the zero padding")
OPERATORS = Measurement(
    name="operators",
    says="κ of every layer as a linear map of images, with circular boundary; of small layers also with zero padding",
    take=operators,
    kappas=(_CIRCULAR, _PADDED),
    figures=(
        FigureSpec(
            name="operators",
            heading="Kernels, and the linear maps that they define",
            caption="""Condition number κ of every weight layer: of the kernel's unfoldings (the larger of the
                output- and input-channel modes, as in the figure of the weights), and of the layer as a linear map
                of images, by the Fourier transform with a circular boundary (Sedghi, Gupta and Long 2019); of small
                maps also with zero padding. A well-conditioned kernel can define an ill-conditioned map, and the
                other way round.""",
            panels=(*WEIGHTS.kappas, _CIRCULAR, _PADDED),
        ),
    ),
)
