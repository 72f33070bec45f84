"""Skip connections from randomly chosen hidden neurons to the output, around any network (Nguyen, section 2)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from repro.errors import UserError
from repro.networks.families.scale import Scale
from repro.networks.initialization import initialise
from repro.networks.layers import weight_layers
from repro.networks.options import Dial
from repro.networks.preserve_state import preserve_state

Head = Literal["add", "replace", "fill"]
_NO_ACTIVATION = (nn.MultiheadAttention, nn.Softmax, nn.LogSoftmax, nn.Softmin, nn.Softmax2d, nn.Identity)


@runtime_checkable
class NamesSkipLayers(Protocol):
    """A network that names the activations whose outputs may be connected to the output."""

    def skip_layer_names(self) -> list[str]:
        """Names of the activation modules whose outputs may be connected."""


@dataclass(frozen=True)
class ActivationSite:
    """One call of one activation in a forward pass."""

    name: str
    """Name of the activation module."""
    call: int
    """Which of its calls in a pass: a module may stand in several places."""
    shape: torch.Size
    """Shape of the activation's output for one image."""

    @property
    def neurons(self) -> int:
        """How many neurons the site has: one for each scalar output."""
        return math.prod(self.shape)


def activation_names(network: nn.Module) -> list[str]:
    """The modules whose outputs are hidden neurons: those that the network names, else every activation module."""
    if isinstance(network, NamesSkipLayers):
        return network.skip_layer_names()
    return [
        name
        for name, module in network.named_modules()
        if not isinstance(module, _NO_ACTIVATION)
        and not any(True for _ in module.children())
        and ("activation" in type(module).__module__ or name.rpartition(".")[2].startswith("activation"))
    ]


def pool(network: nn.Module, image: Float[Tensor, "one channels height width"]) -> list[ActivationSite]:
    """All hidden neurons, call by call in forward order, by a pass of one image in eval mode that disturbs nothing."""
    sites: list[ActivationSite] = []
    hooks = []
    modules = dict(network.named_modules())
    for name in activation_names(network):
        if name not in modules:
            raise UserError(f"{type(network).__name__} names the skip layer '{name}', which it does not have")

        def note(_module: nn.Module, _inputs: object, output: Tensor, name: str = name) -> None:
            calls = sum(site.name == name for site in sites)
            sites.append(ActivationSite(name, calls, output.shape[1:]))

        hooks.append(modules[name].register_forward_hook(note))
    try:
        with preserve_state(network):
            network.eval()(image)
    finally:
        for hook in hooks:
            hook.remove()
    if not sites:
        raise UserError(
            f"{type(network).__name__} calls no activation module, so there are no neurons to connect; "
            "let it name some modules in a method skip_layer_names"
        )
    return sites


class SkipToOutput(nn.Module):
    """A network, whose activations are modules, whose output also reads N of its hidden neurons: G = Ψ V.

    The N neurons are drawn uniformly without replacement from all scalar outputs of all activations (or of those that
    the network names), by a generator of their own: the same on every rank and in every process. One `image` shows the
    activations and their sizes, by a forward pass. The choice is a buffer, so a checkpoint has it, and one made with
    another choice is refused. In a pass each layer's chosen neurons are taken by one gather.

    The head ``add`` keeps the network's output layer, logits = W h + b + V ψ; ``replace`` leaves only V ψ, as the paper
    writes G = Ψ V; ``fill`` keeps it and adds N − L neurons of the layers below, where L are the ones that the output
    layer reads (section 2). `scale` multiplies V ψ: a number from 0 to 1, or ``learned``, from 1. `UserError` where
    there are fewer neurons, or the network calls no activation.
    """

    chosen: Tensor

    def __init__(
        self,
        network: nn.Module,
        neurons: int,
        seed: int,
        *,
        image: Float[Tensor, "one channels height width"],
        num_classes: int,
        head: Head = "add",
        scale: Dial = 1.0,
    ) -> None:
        super().__init__()
        sites = pool(network, image)
        if head == "fill":
            layers = weight_layers(network, image)
            reads = int(layers[-1].module.weight.shape[1])  # type: ignore[index]
            sites = sites[:-1]
        else:
            reads = 0
        size, wanted = sum(site.neurons for site in sites), neurons - reads
        if not 1 <= wanted <= size:
            last = f", the last {reads:,} of which the output layer reads" if reads else ""
            raise UserError(
                f"model.skip_neurons is {neurons}; allowed: {reads + 1:,} to {reads + size:,}, "
                f"as many hidden neurons as the network has{last}"
            )
        self.network = network
        self.head = head
        self.seed = seed
        self.sites = sites
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("chosen", torch.randperm(size, generator=generator)[:wanted].sort().values)
        self.skip = nn.Linear(wanted, num_classes, bias=False)
        self.scale = nn.Identity() if scale == 1 else Scale(scale)
        self._taken: list[Tensor] = []
        self._calls: dict[str, int] = {}
        self._places: dict[tuple[str, int], int] = {}
        self._listen()
        if head == "replace":
            self._freeze_what_nothing_reads(image)

    def _freeze_what_nothing_reads(self, image: Float[Tensor, "one channels height width"]) -> None:
        """The output layer, and what lies between it and the last chosen neuron: DDP waits for every gradient."""
        trained = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        with preserve_state(self), torch.enable_grad():
            psi, _ = self.eval().features(image)
            gradients = torch.autograd.grad(psi.sum(), trained, allow_unused=True)
        for parameter, gradient in zip(trained, gradients, strict=True):
            parameter.requires_grad_(gradient is not None)

    def counts(self) -> list[int]:
        """How many neurons of each site are chosen."""
        return [len(inside) for inside in self._choices()]

    def _choices(self) -> list[Int[Tensor, " some"]]:
        """The chosen neurons of each site, counted within it."""
        choices, start = [], 0
        for site in self.sites:
            choices.append(self.chosen[(self.chosen >= start) & (self.chosen < start + site.neurons)] - start)
            start += site.neurons
        return choices

    def _listen(self) -> None:
        """Hook the layers that have chosen neurons, and keep where these are."""
        for site, inside in zip(self.sites, self._choices(), strict=True):
            if not len(inside):
                continue
            number = len(self._places)
            self._places[site.name, site.call] = number
            self.register_buffer(f"_index{number}", inside, persistent=False)
            if len(site.shape) == 3:  # where the same neurons lie in a channels-last image
                area = site.shape[1] * site.shape[2]
                inside = inside % area * site.shape[0] + inside // area
            self.register_buffer(f"_index_last{number}", inside, persistent=False)
        modules = dict(self.network.named_modules())
        for name in dict.fromkeys(name for name, _ in self._places):
            modules[name].register_forward_hook(self._listener(name))

    def _listener(self, name: str) -> Any:
        def take(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
            call = self._calls.get(name, 0)
            self._calls[name] = call + 1
            number = self._places.get((name, call))
            return output if number is None else self._pick(output, number)

        return take

    def _pick(self, output: Float[Tensor, "batch ..."], number: int) -> Float[Tensor, "batch ..."]:
        """The output as the next layer reads it, its chosen neurons taken."""
        last = output.ndim == 4 and output.is_contiguous(memory_format=torch.channels_last)
        index = getattr(self, f"_index_last{number}" if last else f"_index{number}")
        ordered = output.permute(0, 2, 3, 1) if last else output
        if not torch.is_grad_enabled():
            self._taken.append(ordered.flatten(1).index_select(1, index))
            return output
        passed, picked = Pick.apply(ordered.flatten(1), index)
        self._taken.append(picked)
        whole: Tensor = passed.view(ordered.shape)
        return whole.permute(0, 3, 1, 2) if last else whole

    def connected(self) -> list[ActivationSite]:
        """The calls of activations that have chosen neurons."""
        return [site for site, count in zip(self.sites, self.counts(), strict=True) if count]

    def filled_layers(self) -> list[ActivationSite]:
        """The connected sites, except the last, whose neurons are all chosen."""
        counts = dict(zip(self.sites, self.counts(), strict=True))
        return [site for site in self.connected()[:-1] if counts[site] == site.neurons]

    def features(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "batch neurons"], Float[Tensor, "batch classes"]]:
        """Ψ, a row an image, and the network's own logits."""
        self._taken, self._calls = [], {}
        logits = self.network(images)
        psi = torch.cat(self._taken, 1)
        self._taken = []
        return psi, logits

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Class scores (logits) of images."""
        psi, logits = self.features(images)
        added: Tensor = self.scale(self.skip(psi))
        return added if self.head == "replace" else logits + added

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        chosen = state_dict.get(f"{prefix}chosen")
        if chosen is not None and not (
            chosen.shape == self.chosen.shape and torch.equal(chosen.to(self.chosen.device), self.chosen)
        ):
            raise UserError(
                f"the checkpoint connects {len(chosen):,} neurons, other ones than the {len(self.chosen):,} of seed "
                f"{self.seed}; use its skip_neurons and skip_seed"
            )
        super()._load_from_state_dict(state_dict, prefix, *rest)


def without_skips(network: nn.Module) -> nn.Module:
    """What a `SkipToOutput` is around; any other network as it is."""
    return network.network if isinstance(network, SkipToOutput) else network


def connect(network: nn.Module, neurons: int, seed: int, *, initialization: str = "he", **options: Any) -> SkipToOutput:
    """A network with its randomly chosen neurons connected to the output by weights that are drawn.

    As `SkipToOutput`, which takes the options; the weights are drawn from torch's global generator.
    """
    connected = SkipToOutput(network, neurons, seed, **options)
    initialise(connected.skip, initialization)
    return connected


class Pick(torch.autograd.Function):
    """A matrix and some of its columns, none twice.

    The matrix passes through, so that the columns' gradient is added into the one that comes back anyway: a gradient
    of their own, zero elsewhere, would be as large as the layer and have to be added to it.
    """

    @staticmethod
    def forward(
        flat: Float[Tensor, "batch all"], index: Int[Tensor, " some"]
    ) -> tuple[Float[Tensor, "batch all"], Float[Tensor, "batch some"]]:
        """Return the matrix and the chosen columns."""
        return flat.view_as(flat), flat.index_select(1, index)  # a quarter of the time of flat[:, index] on a CPU

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:  # noqa: ARG004
        """Keep the column indices for the backward pass."""
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Float[Tensor, "batch _"]) -> tuple[Float[Tensor, "batch all"], None]:
        """The gradient of the matrix, with that of the columns added into it."""
        (index,) = ctx.saved_tensors
        whole, some = gradients
        return whole.scatter_add(1, index.expand(len(some), -1), some), None
