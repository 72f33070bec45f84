"""Several networks of one architecture as one: their parameters stacked, the step vectorised over them.

Each member stays a `Classifier` of its own whose parameters and buffers are views of the stack, so that measurements,
checkpoints and its own optimiser see it as if it were alone; forward and backward passes run for all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.func import functional_call, vmap

from repro.errors import UserError
from repro.networks.skip import SkipToOutput
from repro.training.classifier import Classifier
from repro.training.divergence import Diverged

StackedBatch = tuple[Float[Tensor, "members batch ..."], Int[Tensor, "members batch"]]


class StackedClassifier(LightningModule):
    """Trains several classifiers at once; each one's losses, metrics and optimiser are its own.

    Args:
        members: They differ in weights, rates and chosen neurons alone; on the device where they train.
        image: One image, for a first pass that shows whether the network can be vectorised.
        left: Told of a member whose loss is no longer finite, by its number: it has its result, the others go on.

    Raises:
        UserError: The network cannot be vectorised.
    """

    def __init__(
        self,
        members: Sequence[Classifier],
        *,
        image: Float[Tensor, "one channels height width"],
        left: Callable[[int, Diverged], None],
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.alive = list(range(len(members)))
        """Numbers of the members that still train."""
        self.saved = 0
        """The number of the member that a checkpoint is made of."""
        self._left = left
        networks = [member.network for member in members]
        _refuse_random(networks[0])
        _align(networks)
        self._parameters_of = _stack(networks, nn.Module.named_parameters)
        self._buffers_of = _stack(networks, nn.Module.named_buffers)
        for name in {name for network in networks for name, each in network.named_parameters() if each.requires_grad}:
            self._parameters_of[name].requires_grad_()
        self.optimizers_of = [member.configure_optimizers() for member in members]
        self._try(image)

    # Checkpoints: each member's is the one that it would have alone

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]  # noqa: ARG002
        """Empty: members have theirs."""
        return {}

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Nothing to do: `load` takes up each member's."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the state of the member in that is `saved`."""
        member = self.classifier(self.saved)
        # Clones: the file would hold the whole stack that a view looks at.
        checkpoint["state_dict"] = {name: value.clone() for name, value in member.state_dict().items()}
        checkpoint["optimizer_states"] = [self.optimizers_of[self.saved].state_dict()]
        member.on_save_checkpoint(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Members' callbacks take up their own states."""
        checkpoint["callbacks"] = {}

    def load(self, number: int, checkpoint: dict[str, Any]) -> None:
        """Take up a member's checkpoint."""
        member = self.classifier(number)
        member.on_load_checkpoint(checkpoint)
        member.load_state_dict(checkpoint["state_dict"])
        self.optimizers_of[number].load_state_dict(checkpoint["optimizer_states"][0])

    def _try(self, image: Tensor) -> None:
        self.eval()
        try:
            with torch.no_grad():
                self.scores(image.expand(len(self.members), *image.shape))
        except (RuntimeError, NotImplementedError, ValueError) as error:
            name, reason = type(self._template).__name__, str(error).strip().splitlines()[0]
            raise UserError(f"{name} cannot be stacked: {reason}; run it without --stack") from error
        finally:
            self.train()

    def classifier(self, number: int) -> Classifier:
        """A member."""
        member = self.members[number]
        assert isinstance(member, Classifier)
        return member

    @property
    def _template(self) -> nn.Module:
        return self.classifier(0).network

    @property
    def latest(self) -> dict[str, float]:
        """Means over the members of the metrics recorded last, for progress displays."""
        each = [self.classifier(number).latest for number in self.alive]
        return {key: sum(one[key] for one in each) / len(each) for key in each[0] if all(key in one for one in each)}

    def scores(
        self, images: Float[Tensor, "members batch channels height width"]
    ) -> Float[Tensor, "members batch classes"]:
        """Each member's class scores of its own images."""

        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], images: Tensor) -> Tensor:
            scores: Tensor = functional_call(self._template, (parameters, buffers), (images,))
            return scores

        scores: Tensor = vmap(one)(self._parameters_of, self._buffers_of, images)
        return scores

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """All members' own."""
        return _OwnOptimizers(self)

    def training_step(self, batch: StackedBatch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """The sum of the members' mean losses, so that each one's gradient is its own.

        Raises:
            Diverged: None of them is left.
        """
        images, labels = batch
        scores = self.scores(images)
        losses = []
        for number in list(self.alive):
            try:
                member = self.classifier(number)
                losses.append(member.objective(scores[number], labels[number]))
                member.note_objective(losses[-1])
                member.require_convergence()
            except Diverged as reason:
                self._leave(number, reason)
        if not losses:
            raise Diverged("every run of the stack has diverged")
        return torch.stack(losses).sum()

    def each(self, look: Callable[[int], None]) -> None:
        """Do something for every member that is there; one that turns out to have diverged leaves alone.

        Raises:
            Diverged: None of them is left.
        """
        for number in list(self.alive):
            try:
                look(number)
            except Diverged as reason:
                self._leave(number, reason)
                self.clear(number)
        if not self.alive:
            raise Diverged("every run of the stack has diverged")

    def _leave(self, number: int, reason: Diverged) -> None:
        """Let a member go."""
        self.alive.remove(number)
        self._left(number, reason)

    @torch.no_grad()
    def clear(self, number: int) -> None:
        """Put zeros in the place of a member that has left: a NaN might reach the others where layouts pad channels."""
        for values in (*self._parameters_of.values(), *self._buffers_of.values()):
            values[number].zero_()

    # What else a classifier does, for every member

    def on_train_start(self) -> None:
        """Count the steps."""
        for number in self.alive:
            self.classifier(number).on_train_start()

    def on_train_batch_start(self, batch: StackedBatch, batch_idx: int) -> None:
        """Set every member's learning rate."""
        images, labels = batch
        for number in self.alive:
            self.classifier(number).on_train_batch_start((images[number], labels[number]), batch_idx)

    def on_validation_start(self) -> None:
        """Evaluate no member that has diverged, as alone."""
        if self.trainer.training and not self.trainer.sanity_checking:
            self.each(lambda number: self.classifier(number).require_convergence(now=True))

    def on_train_epoch_end(self) -> None:
        """Record every member's means."""
        self.each(lambda number: self.classifier(number).on_train_epoch_end())

    def validation_step(self, batch: StackedBatch, batch_idx: int, dataloader_idx: int = 0) -> None:  # noqa: ARG002
        """Evaluate a batch of a held-out part."""
        self._evaluate(batch, self.classifier(0).held_out[dataloader_idx])

    def test_step(self, batch: StackedBatch, batch_idx: int, dataloader_idx: int = 0) -> None:  # noqa: ARG002
        """Evaluate a batch of the training set or of a held-out part."""
        self._evaluate(batch, ["train", *self.classifier(0).held_out][dataloader_idx])

    def _evaluate(self, batch: StackedBatch, part: str) -> None:
        images, labels = batch
        scores = self.scores(images)
        for number in self.alive:
            self.classifier(number).assess(scores[number], labels[number], part)

    def on_validation_epoch_end(self) -> None:
        """Record what was evaluated."""
        for number in self.alive:
            self.classifier(number).on_validation_epoch_end()

    def on_test_epoch_end(self) -> None:
        """Keep every member's final metrics."""
        for number in self.alive:
            self.classifier(number).on_test_epoch_end()


class _OwnOptimizers(torch.optim.Optimizer):
    """One step of every member's own optimiser, each with its part of the stacked gradients.

    Args:
        stack: The classifiers.
    """

    def __init__(self, stack: StackedClassifier) -> None:
        self._stack = stack
        trained = {name: each for name, each in stack._parameters_of.items() if each.requires_grad}
        super().__init__(trained.values(), {})
        self._places: list[list[tuple[int, nn.Parameter]]] = []
        for number in range(len(stack.members)):
            own = dict(stack.classifier(number).network.named_parameters())
            # What no neuron of one member reads is frozen in that one alone.
            self._places.append([(at, own[name]) for at, name in enumerate(trained) if own[name].requires_grad])

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Compute the gradients, hand them out, and step."""
        assert closure is not None
        training = list(self._stack.alive)
        loss = closure()
        for number in set(training) - set(self._stack.alive):
            self._stack.clear(number)
        gradients = [each.grad for each in self.param_groups[0]["params"]]
        for number in self._stack.alive:
            for at, place in self._places[number]:
                place.grad = gradients[at][number]
            self._stack.optimizers_of[number].step()
            for _, place in self._places[number]:
                place.grad = None
        return loss

    def load_state_dict(self, state_dict: Any) -> None:
        """Nothing to do: every member's own state is loaded with its own checkpoint."""


def _stack(networks: Sequence[nn.Module], named: Callable[..., Any]) -> dict[str, Tensor]:
    """Tensors of all networks by name, stacked; theirs become views of them."""
    of_each = [dict(named(network)) for network in networks]
    stacked = {}
    for name in of_each[0]:
        values = stacked[name] = torch.stack([each[name].detach() for each in of_each])
        for number, each in enumerate(of_each):
            each[name].data = values[number]
    return stacked


def _align(networks: Sequence[nn.Module]) -> None:
    """Let networks with neurons of their own take as many from each layer."""
    connected = [network for network in networks if isinstance(network, SkipToOutput)]
    if connected:
        most = [max(column) for column in zip(*(network.counts() for network in connected), strict=True)]
        for network in connected:
            network.take(most)


def _refuse_random(network: nn.Module) -> None:
    """Refuse what draws while it trains: alone each run draws from its own generator."""
    for name, module in network.named_modules():
        kind = type(module).__name__
        drawn = getattr(module, "p", None) if "Drop" in kind or "Stochastic" in kind else None
        share = drawn if drawn is not None else getattr(module, "drop_prob", None)
        if share:
            raise UserError(f"'{name}' is a {kind}, which draws at random in every step; run it without --stack")
