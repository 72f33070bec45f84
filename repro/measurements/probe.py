"""A network, looked at on fixed images without changing anything about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from repro.measurements.reading import Reading
from repro.networks import WeightLayer
from repro.networks.undisturbed import undisturbed


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a measurement looks at."""

    network: nn.Module
    """In its own mode; gradients off."""
    layers: list[WeightLayer]
    """Its weight layers in forward order."""
    images: Float[Tensor, "batch channels height width"]
    """The probe, on the network's device, as the network reads it."""
    labels: Int[Tensor, " batch"]
    """The probe's classes."""


class Measurement(Protocol):
    """One thing that is looked at on a network.

    Adding one takes a file with a function or class of this form and an entry in `MEASUREMENTS`.
    """

    def __call__(self, probe: Probe) -> Iterator[Reading]:
        """Yield the readings."""
        ...


@contextmanager
def full_precision() -> Iterator[None]:
    """Plain float32 products: no autocast, no TF32."""
    matmul = torch.get_float32_matmul_precision()
    convolution = torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        with ExitStack() as stack:
            for device in ("cpu", "cuda"):
                stack.enter_context(torch.autocast(device, enabled=False))
            yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = convolution


@contextmanager
def looking(network: nn.Module, mode: Literal["eval", "train"] = "eval") -> Iterator[None]:
    """Look at a network in a mode, with float32 products, and leave everything as it was.

    What a training-mode pass does to buffers (running statistics) is taken back.

    Args:
        network: Any network.
        mode: ``eval``, or ``train`` to normalise by the probe's own statistics.
    """
    with undisturbed(network), full_precision():
        network.train(mode == "train")
        yield
