"""The loss of a network on a plane in the space of its weights (Nguyen, Fig. 3; Li et al. 2018).

Everywhere in the plane the weights are start + a · first + b · second. So the first layer's outputs, which are linear
in its weights, are Z₀ + a Z₁ + b Z₂ with three products that all grid points share; what a point costs is the layers
above. For the network of Fig. 3 (784–784–300–10 on 1,024 digits) the first layer is 72 % of the work: 51 × 51 points
take 1.27 TFLOP instead of 4.54.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call

from repro.landscape.directions import Parameters
from repro.networks import weight_layers
from repro.networks.preserve_state import preserve_state
from repro.networks.skip import SkipToOutput

Batch = tuple[Float[Tensor, "_ channels height width"], Int[Tensor, " _"]]
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Plane:
    """The points start + a · first + b · second of the parameter space."""

    start: Parameters
    first: Parameters
    second: Parameters

    def at(self, a: float, b: float) -> dict[str, Tensor]:
        """The parameters at the point (a, b)."""
        return {name: tensor + a * self.first[name] + b * self.second[name] for name, tensor in self.start.items()}

    def stacked(self, coordinates: Float[Tensor, "points 2"], names: Iterable[str]) -> dict[str, Tensor]:
        """The parameters of these names at several points, along a new first axis."""
        weights = {}
        for name in names:
            parameter = self.start[name]
            a, b = (column.to(parameter).view(-1, *[1] * parameter.ndim) for column in coordinates.unbind(1))
            weights[name] = parameter + a * self.first[name] + b * self.second[name]
        return weights


@torch.no_grad()
def evaluate(
    network: nn.Module,
    plane: Plane,
    coordinates: Float[Tensor, "points 2"],
    batches: Sequence[Batch],
    *,
    loss: Loss,
    together: int = 1,
    linear: bool = True,
) -> Float[Tensor, "points 2"]:
    """Mean loss and share of errors at points of a plane, in eval mode; the network is left as it was.

    They come in float64 on the CPU. The coordinates are a and b of each point; points of equal a one after the other
    cost a little less. `loss` is a mean over samples. How the batches are cut changes nothing but rounding. `together`
    points go through the network in one call (for a GPU, which a small network leaves idle); one at a time where skips
    to the output read convolutions, which `torch.vmap` cannot follow. `linear` uses that the first layer's outputs are
    linear in the coordinates, where it reads the images themselves.
    """
    total = torch.zeros(len(coordinates), 2, dtype=torch.float64)
    samples = sum(len(labels) for _, labels in batches)
    if isinstance(network, SkipToOutput) and any(len(site.shape) == 3 for site in network.sites):
        together = 1
    with preserve_state(network):
        network.eval()
        first = _first_layer(network, batches[0][0][:1]) if linear else None
        for images, labels in batches:
            scores = _scores(network, plane, coordinates, images, first, together)
            for index, point_scores in scores:
                wrong = (point_scores.argmax(1) != labels).double().mean()
                values = torch.stack([loss(point_scores, labels).double(), wrong]).cpu()
                total[index] += values * (len(labels) / samples)
    return total


_Shared = tuple[nn.Module, list[Tensor]]
"""The first weight layer, with Z₀, Z₁ and Z₂ of a batch."""


@dataclass(frozen=True, eq=False)
class _FirstLayer:
    """The first weight layer, which reads the images themselves, and the names of its parameters."""

    module: nn.Module
    names: dict[str, str]
    """The module's names of its parameters, by their names in the network."""
    reads: tuple[int, ...]
    """The shape in which it reads an image."""


def _first_layer(network: nn.Module, image: Tensor) -> _FirstLayer | None:
    """The first weight layer, if it is an ordinary one that is called once, on the image; otherwise None."""
    layer = weight_layers(network, image)[0]
    if type(layer.module) not in (nn.Linear, nn.Conv2d):
        return None
    read: list[Tensor] = []
    hook = layer.module.register_forward_pre_hook(lambda _module, args: read.append(args[0]))
    try:
        network(image)
    finally:
        hook.remove()
    if len(read) != 1 or read[0].shape.numel() != image.numel() or not torch.equal(read[0].flatten(), image.flatten()):
        return None
    inner = {id(parameter): name for name, parameter in layer.module.named_parameters()}
    names = {name: inner[id(own)] for name, own in network.named_parameters() if id(own) in inner}
    return _FirstLayer(layer.module, names, tuple(read[0].shape[1:]))


def _scores(
    network: nn.Module,
    plane: Plane,
    coordinates: Float[Tensor, "points 2"],
    images: Tensor,
    first: _FirstLayer | None,
    together: int,
) -> Iterator[tuple[int, Float[Tensor, "samples classes"]]]:
    """Scores of a batch of images at every point, with the point's number."""
    shared = None if first is None else (first.module, _first_outputs(network, first, plane, images))
    moving = [name for name in plane.start if first is None or name not in first.names]
    if together == 1:
        return _one_by_one(network, plane, coordinates, images, shared, moving)
    return _several(network, plane, coordinates, images, shared, moving, together)


def _first_outputs(network: nn.Module, first: _FirstLayer, plane: Plane, images: Tensor) -> list[Tensor]:
    """Z₀, Z₁ and Z₂: the first layer's outputs for the start and for each direction, biases included."""
    inputs = images.reshape(len(images), *first.reads)
    own = dict(network.named_parameters())

    def outputs(part: Parameters, *, start: bool) -> Tensor:
        """Outputs for one part; parameters that do not train count as part of the start, and as 0 in a direction."""
        values = {
            inner: part.get(name, own[name] if start else torch.zeros_like(own[name]))
            for name, inner in first.names.items()
        }
        output: Tensor = functional_call(first.module, values, (inputs,))
        return output

    return [outputs(plane.start, start=True), outputs(plane.first, start=False), outputs(plane.second, start=False)]


@contextmanager
def _returning(module: nn.Module, output: Callable[[], Tensor]) -> Iterator[None]:
    """The module's forward pass hands out a tensor that is known already; its hooks still see it."""
    module.forward = lambda *_: output()
    try:
        yield
    finally:
        del module.forward


def _one_by_one(
    network: nn.Module,
    plane: Plane,
    coordinates: Tensor,
    images: Tensor,
    shared: _Shared | None,
    moving: list[str],
) -> Iterator[tuple[int, Tensor]]:
    """Points one after the other, with weights moved in place: a · first is added once where a does not change."""
    own = dict(network.named_parameters())
    held = {name: own[name].data for name in moving}
    buffers = {name: torch.empty_like(plane.start[name]) for name in moving}
    rows: dict[str, Tensor] = {}
    row: Tensor | None = None
    point: Tensor | None = None
    last = None
    try:
        for name in moving:
            own[name].data = buffers[name]
        for number, (a, b) in enumerate(coordinates.tolist()):
            if a != last:
                rows = {name: torch.add(plane.start[name], plane.first[name], alpha=a) for name in moving}
                row = None if shared is None else torch.add(shared[1][0], shared[1][1], alpha=a)
                last = a
            for name in moving:
                torch.add(rows[name], plane.second[name], alpha=b, out=buffers[name])
            if shared is None or row is None:
                yield number, network(images)
                continue
            module, outputs = shared
            point = torch.add(row, outputs[2], alpha=b, out=point)
            output = point
            with _returning(module, lambda output=output: output):  # type: ignore[misc]
                scores = network(images)
            yield number, scores
    finally:
        for name in moving:
            own[name].data = held[name]


def _several(
    network: nn.Module,
    plane: Plane,
    coordinates: Tensor,
    images: Tensor,
    shared: _Shared | None,
    moving: list[str],
    together: int,
) -> Iterator[tuple[int, Tensor]]:
    """Scores at several points in one call."""
    for start in range(0, len(coordinates), together):
        some = coordinates[start : start + together]
        weights = plane.stacked(some, moving)

        if shared is None:
            scores = torch.vmap(lambda part: functional_call(network, part, (images,)))(weights)
        else:
            inner, outputs = shared
            a, b = (column.to(outputs[0]).view(-1, *[1] * outputs[0].ndim) for column in some.unbind(1))

            def call(part: dict[str, Tensor], output: Tensor, inner: nn.Module = inner) -> Tensor:
                with _returning(inner, lambda: output):
                    scores: Tensor = functional_call(network, part, (images,))
                return scores

            scores = torch.vmap(call)(weights, outputs[0] + a * outputs[1] + b * outputs[2])
        yield from ((start + number, point_scores) for number, point_scores in enumerate(scores))
