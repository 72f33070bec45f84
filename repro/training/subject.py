"""What of a LightningModule is measured: its network, the loss that it trains, the optimiser that trains it."""

from __future__ import annotations

from operator import attrgetter
from typing import Protocol, runtime_checkable

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from repro.errors import UserError
from repro.measurements.probe import Clip
from repro.measurements.scoring import Loss

_LOSSES = ("criterion", "loss_fn", "loss_function", "loss_func", "loss")


@runtime_checkable
class KnowsItsObjective(Protocol):
    """A LightningModule that offers the objective that its training step minimises."""

    def objective(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The loss with its penalties."""


def network_of(module: LightningModule, name: str | None) -> nn.Module:
    """The network to measure: the one named, the attribute ``network``, or the module itself."""
    parts = [key for key, _ in module.named_children()]
    if name is not None:
        try:
            named = attrgetter(name)(module)
        except AttributeError:
            named = None
        if not isinstance(named, nn.Module):
            raise UserError(f"network='{name}' is no module of {type(module).__name__}; it has {', '.join(parts)}")
        return named
    own = getattr(module, "network", None)
    if isinstance(own, nn.Module):
        return own
    if type(module).forward is LightningModule.forward:
        raise UserError(
            f"{type(module).__name__} has no forward; pass network= with the name of what is to be measured: "
            f"{', '.join(parts) or 'it has no modules'}"
        )
    return module


def loss_of(module: LightningModule) -> tuple[Loss | None, str]:
    """The loss that a module trains (None for cross-entropy), and a name for it."""
    kind = type(module).__name__
    if isinstance(module, KnowsItsObjective):
        return module.objective, f"{kind}'s objective"
    for name in _LOSSES:
        loss = getattr(module, name, None)
        if isinstance(loss, nn.Module) or (callable(loss) and name in vars(module)):  # no method of the module's
            return loss, f"{kind}.{name} ({getattr(loss, '__name__', type(loss).__name__)})"
    return None, "the cross-entropy of what the network returns (pass loss= for another)"


def clipping_of(trainer: Trainer, module: LightningModule) -> Clip | None:
    """What the Trainer does to gradients before a step; None where that is nothing, or the module's own."""
    if clips_itself(module):
        return None
    return clipping(trainer.gradient_clip_val, by_value=trainer.gradient_clip_algorithm == "value")


def clipping(limit: float | None, *, by_value: bool = False) -> Clip | None:
    """Clipping of all gradients together by their norm, or of each entry; None without a limit."""
    if not limit:
        return None
    if by_value:
        return lambda parameters: nn.utils.clip_grad_value_(parameters, limit)
    return lambda parameters: nn.utils.clip_grad_norm_(parameters, limit)


def clips_itself(module: LightningModule) -> bool:
    """Whether a module clips its gradients in a way of its own."""
    return type(module).configure_gradient_clipping is not LightningModule.configure_gradient_clipping


def optimizer_of(trainer: Trainer, network: nn.Module) -> Optimizer | None:
    """The optimiser that has the network's parameters; `UserError` if several have."""
    own = {id(parameter) for parameter in network.parameters()}
    having = [
        optimizer
        for optimizer in trainer.optimizers
        if own & {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    ]
    if len(having) > 1:
        raise UserError(
            f"updates are those of one optimiser, and {len(having)} train this network; pass network= with a part that "
            "one of them trains, or leave updates out"
        )
    return next(iter([*having, *trainer.optimizers]), None)
