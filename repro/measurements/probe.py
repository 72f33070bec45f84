"""A network, looked at on fixed images without changing anything about it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim import Optimizer

from repro.distributed.ranks import Ranks
from repro.errors import UserError
from repro.measurements import passes
from repro.measurements.acting import Acts, calls, gradients, made_anew, once, standing, trained_parameter
from repro.measurements.passes import See
from repro.measurements.scoring import Loss, Pick, loss_of, scores
from repro.networks import WeightLayer
from repro.networks.nested import plain
from repro.networks.passing import Inputs, call, described, few, refusing, samples
from repro.networks.preserve_state import preserve_state
from repro.networks.products import Product

Clip = Callable[[list[Tensor]], object]
"""Changes the gradients (``grad``) of parameters in place, as clipping does."""

_OTHER = "made in this pass with other axes than before: the weights of"


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a measurement looks at: the network by its weight layers, passes over the inputs, and its loss."""

    network: nn.Module
    """The network, in the mode to measure in, with gradients off."""
    layers: list[WeightLayer]
    """The network's weight layers in forward order."""
    inputs: Inputs
    """The probe, on the network's device, as it takes it: a tensor, a tuple (by position), a dict (by name)."""
    labels: Any = None
    """The probe's classes, or what the loss takes in their place; gradients need them."""
    held_out: Inputs = None
    """As many inputs that the network is not trained on; amplification needs them."""
    output: Pick = None
    """Which part of what the network returns is scored."""
    objective: Loss | None = None
    """The loss that is trained; the mean cross-entropy if None."""
    optimizer: Optimizer | None = None
    """The network's optimiser, for the update that it would make."""
    clip: Clip | None = None
    """What is done to the gradients of the parameters, in place, before the step."""
    chosen: list[WeightLayer] = field(default_factory=list)
    """The layers of which distributions are taken."""
    spectra: bool = False
    """Whether all singular values are kept."""
    ranks: Ranks = field(default_factory=Ranks)
    """This process among those that share the work."""
    left_out: dict[str, list[str]] = field(default_factory=dict)
    """What a measurement could not give, and why: names of layers by the reason."""
    aside: frozenset[str] | None = None
    """Names of the network's products that are no weight layers, if they are known."""
    told: bool = False
    """Whether it has been said what of the network is seen, and what of that is frozen."""
    put_back: Callable[[], None] = lambda: None
    """Puts back the buffers that a pass has changed, so that every pass begins alike."""

    def leave_out(self, reason: str, layer: WeightLayer | str) -> None:
        """Note a layer that a measurement leaves out; `repro.measurements.take` warns of it."""
        name = layer if isinstance(layer, str) else layer.name
        names = self.left_out.setdefault(reason, [])
        if name not in names:
            names.append(name)

    @property
    def images(self) -> Tensor:
        """The inputs, where they are one tensor; else `UserError`."""
        if not isinstance(self.inputs, Tensor):
            raise UserError(f"this measurement takes inputs that are one tensor, not {described(self.inputs)}")
        return self.inputs

    @cached_property
    def samples(self) -> int:
        """How many samples the probe has."""
        return samples(self.inputs)

    def run(
        self,
        *,
        read: See | None = None,
        write: See | None = None,
        error: See | None = None,
        weight: See | None = None,
        multiply: Callable[[WeightLayer, Product], None] | None = None,
        layers: Sequence[WeightLayer] | None = None,
        inputs: Inputs = None,
    ) -> Any:
        """The network's output for the inputs (or others), in its present mode; with listeners as in `passes.run`."""
        inputs = self.inputs if inputs is None else inputs
        layers = self.layers if layers is None else layers
        graph = torch.is_grad_enabled()  # it holds buffers as they are; `training` puts them back
        own = preserve_state(self.network) if self.network.training and not graph else nullcontext()
        with own, refusing(self.network, inputs):
            if read or write or error or weight or multiply:
                listeners = {"read": read, "write": write, "error": error, "weight": weight}
                result = self._listen(inputs, layers, multiply=multiply, **listeners)
            else:
                result = call(self.network, inputs)
        if not graph:
            self.put_back()
        return result

    def run_few(self, layers: Sequence[WeightLayer], came: Container[int], **listeners: Any) -> None:
        """Listen to a pass of one sample, and to one of all if some layers, by number, have not come by then."""
        if layers and not self.network.training:
            with suppress(Exception):  # it may take whole batches only
                passes.run(self.network, few(self.inputs), layers, **listeners)
            self.put_back()
        if any(layer.index not in came for layer in layers):
            self.run(layers=layers, **listeners)

    def _listen(
        self,
        inputs: Inputs,
        layers: Sequence[WeightLayer],
        *,
        multiply: Callable[[WeightLayer, Product], None] | None,
        **listeners: Any,
    ) -> Any:
        came: set[str] = set()
        names = {layer.name for layer in self.layers}

        def note(layer: WeightLayer, product: Product) -> None:
            came.add(layer.name)
            if multiply is not None:
                multiply(layer, product)

        def other(name: str) -> None:
            if self.aside is not None and name not in self.aside and name not in names:
                self.leave_out("the network changes from pass to pass, and at first had not", name)

        result = passes.run(self.network, inputs, layers, multiply=note, others=other, **listeners)
        for layer in layers:
            if layer.name not in came:
                self.leave_out("the network changes from pass to pass, and this time had not", layer)
        return result

    def scores(self) -> Tensor:
        """The class scores; `UserError` if ``output`` does not say which part of the network's they are."""
        return scores(self.run(), self.output)

    @cached_property
    def weights(self) -> dict[int, Tensor]:
        """The weight of each layer as it acts in the probe's mode, by the layer's number; of shared ones the first's.

        However it came to be: parametrised, normalised, a DiracNet's W + diag(a) (Oyedotun Eq. 28).
        """
        weights = {layer.index: weight for layer in self.layers if (weight := standing(layer)) is not None}
        rest = [layer for layer in self.layers if layer.index not in weights and layer.first == layer.index]

        def keep(layer: WeightLayer, tensor: Tensor) -> None:
            if layer.fits(tensor):
                weights[layer.index] = tensor.detach().clone()
            else:
                self.leave_out(_OTHER, layer)

        self.run_few(rest, weights, weight=keep)
        return {layer.index: weights[layer.index] for layer in self.firsts if layer.index in weights}

    @property
    def firsts(self) -> list[WeightLayer]:
        """The layers whose weight no earlier layer has."""
        return [layer for layer in self.layers if layer.first == layer.index]

    def weight_name(self, layer: WeightLayer) -> str:
        """The names of all layers that have this layer's weight, each module once; of a later slice with its number."""
        return self._names[layer.first]

    @cached_property
    def _names(self) -> dict[int, str]:
        by_layer: dict[int, dict[str, None]] = {}
        for layer in self.layers:
            name = layer.name if layer.index == layer.first else layer.name.partition("#")[0]
            by_layer.setdefault(layer.first, {})[name] = None
        return {number: " = ".join(names) for number, names in by_layer.items()}

    @cached_property
    def gradients(self) -> dict[int, Tensor]:
        """The gradient of each layer's weight, by the layer's number; a weight without one (frozen) is left out.

        Of the loss over the probe, in training mode, as a training step takes it.
        """
        with self.training() as loss:
            return self.gradients_of(loss, self.layers)

    @cached_property
    def by_parameter(self) -> dict[int, Tensor]:
        """After `gradients`: those of all that the optimiser has, also of the loss, by the parameter's identity."""
        return {}

    def gradients_of(self, loss: Float[Tensor, ""], layers: Sequence[WeightLayer]) -> dict[int, Tensor]:
        """Within `training`: the gradients of these layers' weights as they acted, by number; none for frozen ones.

        Of a weight that acts in several layers it is the whole, under the first one's number.
        """
        groups = [] if self.optimizer is None else self.optimizer.param_groups
        trained = [each for group in groups for each in group["params"] if each.requires_grad]
        numbers = {layer.first for layer in layers}
        firsts = [layer for layer in self.firsts if layer.index in numbers]
        acted = {layer.index: self._acted_by(layer) for layer in firsts}
        operands = {
            id(acts.tensor): acts.tensor for each in acted.values() for acts in each if acts.tensor.requires_grad
        }
        wanted = {**operands, **{id(each): each for each in trained}}
        by_id = dict(zip(wanted, gradients(loss, list(wanted.values())), strict=True))
        self.by_parameter.update({id(each): found for each in trained if (found := by_id[id(each)]) is not None})
        by_layer = {}
        for layer in firsts:
            parts = [(by_id[id(acts.tensor)], acts) for acts in acted[layer.index] if id(acts.tensor) in by_id]
            reached = [acts.own(part) for part, acts in parts if part is not None and plain(part)]
            if reached:
                by_layer[layer.index] = layer.part(reached[0] if len(reached) == 1 else torch.stack(reached).sum(0))
            elif parts:
                self.leave_out("no gradient reaches the weights of", layer)
            elif acted[layer.index] and not (self.told and layer.frozen):
                self.leave_out("gradients: frozen, as nothing in it requires one, are the weights of", layer)
        return by_layer

    def _acted_by(self, layer: WeightLayer) -> list[Acts]:
        parameter = trained_parameter(layer)
        if parameter is not None:
            return [Acts(parameter)]
        alike = [other.index for other in self.layers if other.first == layer.index]
        return once([self._acted[index] for index in alike if index in self._acted])

    @cached_property
    def _acted(self) -> dict[int, Acts]:
        return {}

    @contextmanager
    def training(
        self, *, read: See | None = None, write: See | None = None, error: See | None = None
    ) -> Iterator[Float[Tensor, ""]]:
        """The loss of a forward pass in training mode, with its graph; afterwards the network is in its mode again.

        Gradients are to be asked for by `torch.autograd.grad`, which leaves ``.grad`` alone. Layers can be listened to
        as in `run`. `UserError` if the probe has no labels, or no loss fits what the network returns.
        """
        if self.labels is None and self.objective is None:
            raise UserError("gradients need the classes of the probe's images; pass labels")
        self._acted.clear()

        def keep(layer: WeightLayer, product: Product) -> None:
            if product.modes == layer.modes and layer.fits(product.weight):
                operand = product.weight if product.operand is None else product.operand
                self._acted[layer.index] = Acts(operand, product.repeated)
            else:
                self.leave_out(_OTHER, layer)

        # A parametrised weight is computed once, so that the one that acts is the one whose gradient is asked for.
        with preserve_state(self.network, self.objective, self.output), torch.enable_grad(), parametrize.cached():
            self.network.train()
            output = self.run(read=read, write=write, error=error, multiply=keep)
            with calls() as again:
                loss = self.loss(output)
            self._forget(again)
            yield loss
        self._acted.clear()

    def _forget(self, called: set[nn.Module]) -> None:
        """Leave out the weights that the loss made anew, as a gradient penalty does: their gradients lack a part."""
        anew = made_anew(self.layers, called)
        for layer in self.layers:
            if layer.first in anew and layer.index in self._acted:
                del self._acted[layer.index]
                self.leave_out("gradients: the loss calls the network again, which makes anew the weights of", layer)

    def loss(self, output: Any) -> Float[Tensor, ""]:
        """The loss of what the network returned for the probe."""
        return loss_of(output, self.labels, self.output, self.objective)
