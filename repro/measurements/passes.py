"""Listening to a pass through a network: what each weight layer reads and writes, and their error gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from repro.networks import WeightLayer

See = Callable[[WeightLayer, Tensor], None]


@contextmanager
def reading(layers: Sequence[WeightLayer], see: See) -> Iterator[None]:
    """Show the tensor that each of these layers reads, while a forward pass stands at it.

    What layer l + 1 reads is representation l: after normalisation and activation, and, where a block ends there,
    after the addition.
    """

    def listen(layer: WeightLayer) -> Any:
        def note(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            see(layer, next(value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)))

        return layer.module.register_forward_pre_hook(note, with_kwargs=True)

    with _removed([listen(layer) for layer in layers]):
        yield


@contextmanager
def writing(layers: Sequence[WeightLayer], see: See) -> Iterator[None]:
    """Show the tensor that each of these layers returns, before any normalisation or activation."""

    def listen(layer: WeightLayer) -> Any:
        return layer.module.register_forward_hook(lambda _module, _inputs, output: see(layer, output))

    with _removed([listen(layer) for layer in layers]):
        yield


@contextmanager
def _removed(hooks: list[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def by_sample(tensor: Tensor, samples: int) -> Tensor:
    """The tensor with the samples as its first axis: windows and tokens that were folded into it become the second."""
    if len(tensor) != samples and samples and len(tensor) % samples == 0:
        tensor = tensor.reshape(samples, -1, *tensor.shape[1:])
    return tensor


def modes(layer: WeightLayer, axes: int, *, folded: bool = False) -> list[str]:
    """Names of the unfoldings of a tensor that this layer reads or writes, by axis; the first is the samples'.

    The mode of the samples is the matrix of Definition 2, n × N with one column a sample: an unfolding and its
    transpose have the same singular values. A linear layer's channels are its last axis, a convolution's its second.

    Args:
        layer: The layer.
        axes: Axes of the tensor.
        folded: Whether its second axis was folded into the first (`by_sample`).
    """
    if folded:
        return ["matrix", "window", *modes(layer, axes - 1)[1:]]
    if isinstance(layer.module, nn.Linear):
        between = {3: ["token"], 4: ["height", "width"]}.get(axes, [f"axis{axis}" for axis in range(1, axes - 1)])
        return ["matrix", *between, "channel"][-axes:]
    return [
        "matrix",
        "channel",
        *{3: ["width"], 4: ["height", "width"]}.get(axes, [f"axis{n}" for n in range(2, axes)]),
    ]
