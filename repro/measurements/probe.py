"""A network, looked at on fixed images without changing anything about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim import Optimizer

from repro.distributed.share import Share
from repro.errors import UserError
from repro.networks import WeightLayer
from repro.networks.preserve_state import preserve_state


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a measurement looks at."""

    network: nn.Module
    """In its own mode; gradients off."""
    layers: list[WeightLayer]
    """Its weight layers in forward order."""
    images: Float[Tensor, "batch channels height width"]
    """The probe, on the network's device, as the network reads it."""
    labels: Int[Tensor, " batch"] | None = None
    """The probe's classes; gradients need them."""
    held_out: Float[Tensor, "others channels height width"] | None = None
    """As many images that the network is not trained on; amplification needs them."""
    optimizer: Optimizer | None = None
    """The network's optimiser, for the update that it would make."""
    chosen: list[WeightLayer] = field(default_factory=list)
    """The layers whose distributions are taken."""
    share: Share = field(default_factory=Share)
    """This rank's part of the work."""
    left_out: dict[str, list[str]] = field(default_factory=dict)
    """What a measurement could not give, and why: names of layers by the reason."""

    def leave_out(self, reason: str, layer: WeightLayer) -> None:
        """Note a layer of which a measurement has nothing to say; `repro.measurements.take` tells it."""
        names = self.left_out.setdefault(reason, [])
        if layer.name not in names:
            names.append(layer.name)

    def scores(self) -> Tensor:
        """What the network makes of the probe; of a copy, since some networks change what they read."""
        scores: Tensor = self.network(self.images.clone())
        return scores

    @cached_property
    def gradients(self) -> dict[int, Tensor]:
        """The gradient of each layer's weight, by the layer's number; a weight without one (frozen) is left out.

        Of the mean cross-entropy over the probe, in training mode, as a training step takes it.

        Raises:
            UserError: The probe has no labels.
        """
        with self.training() as loss:
            return self.gradients_of(loss, self.layers)

    def gradients_of(self, loss: Float[Tensor, ""], layers: Sequence[WeightLayer]) -> dict[int, Tensor]:
        """Within `training`: the gradients of these layers' weights as they acted, by number; none for frozen ones."""
        acted = [(layer, weight) for layer in layers if (weight := acting_weight(layer)).requires_grad]
        weights = [weight for _, weight in acted]
        found: Sequence[Tensor | None] = torch.autograd.grad(loss, weights, allow_unused=True) if weights else ()
        gradients = {}
        for (layer, _), gradient in zip(acted, found, strict=True):
            if gradient is None:
                self.leave_out("no gradient reaches the weights of", layer)
            else:
                gradients[layer.index] = gradient
        return gradients

    @contextmanager
    def training(self) -> Iterator[Float[Tensor, ""]]:
        """The loss of a forward pass in training mode, with its graph; afterwards the network is in its mode again.

        Gradients are to be asked for by `torch.autograd.grad`, which leaves ``.grad`` alone.

        Raises:
            UserError: The probe has no labels.
        """
        if self.labels is None:
            raise UserError("gradients need the classes of the probe's images; pass labels")
        # A parametrised weight is computed once, so that the one that acts is the one whose gradient is asked for.
        with preserve_state(self.network), torch.enable_grad(), parametrize.cached():
            self.network.train()
            yield F.cross_entropy(self.scores(), self.labels)


def acting_weight(layer: WeightLayer) -> Tensor:
    """A layer's weight, parametrised or not; what a DiracNet's diagonal adds to it is apart."""
    tensor = layer.module.weight
    assert isinstance(tensor, Tensor)
    return tensor


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
def measurement_mode(network: nn.Module, mode: str = "eval") -> Iterator[None]:
    """Look at a network in a mode, with float32 products, and leave everything as it was.

    What a training-mode pass does to buffers (running statistics) is taken back.

    Args:
        network: Any network.
        mode: ``eval``, or ``train`` to normalise by the probe's own statistics.

    Raises:
        UserError: It is neither.
    """
    if mode not in ("eval", "train"):
        raise UserError(f"mode is '{mode}'; allowed: eval (running statistics), train (the probe's own)")
    # What is compiled runs as it is written: hooks inside of it are not called otherwise.
    with preserve_state(network), full_precision(), torch.compiler.set_stance("force_eager"):
        network.train(mode == "train")
        yield
