"""Batch normalisation over the whole batch, whatever the number of processes that share it.

torch's own synchronised layer refuses CPU tensors, so that no test on two processes of a laptop could hold it against
one process. This one runs wherever `torch.distributed` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from repro.errors import UserError
from repro.lightning_compat import become

_over_all_ranks: ContextVar[bool] = ContextVar("over_all_ranks", default=False)
_KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@contextmanager
def over_all_ranks() -> Iterator[None]:
    """Within it, synchronised layers wait for the other ranks: every rank has to run the same forward passes.

    Only the training step does; a measurement, which looks at the same images on every rank, need not.
    """
    token = _over_all_ranks.set(True)
    try:
        yield
    finally:
        _over_all_ranks.reset(token)


def _exact(values: Tensor) -> Tensor:
    """float32 in place of half precision."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _moments(
    inputs: Float[Tensor, "batch channels ..."],
) -> tuple[Float[Tensor, " channels"], Float[Tensor, " channels"], Float[Tensor, " channels"]]:
    """Mean and variance of each channel over the parts of all ranks, and over how many values, in float64.

    Every rank hands in count, mean and sum of squared deviations; they are joined by Chan, Golub and LeVeque's formula
    (1979), which loses nothing where the mean is large beside the deviation.
    """
    over = [dimension for dimension in range(inputs.dim()) if dimension != 1]
    count = inputs.numel() // inputs.shape[1]
    if count:
        variance, mean = torch.var_mean(_exact(inputs), over, correction=0)
    else:  # this rank has no image of the batch: its part weighs nothing
        variance = mean = torch.zeros(inputs.shape[1], device=inputs.device)
    own = torch.stack([torch.full_like(mean, count), mean, variance * count]).double()
    parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, own)
    counts, means, squares = torch.stack(parts).unbind(1)
    total = counts.sum(0)
    joined = (counts * means).sum(0) / total
    deviations = squares.sum(0) + (counts * (means - joined).square()).sum(0)
    return joined, deviations / total, total


class _Normalise(torch.autograd.Function):
    """(x − mean) / sqrt(variance + eps) · weight + bias, with the gradient through mean and variance of all ranks."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        total: Tensor,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(inputs, weight, mean, variance, total)
        ctx.eps = eps
        return F.batch_norm(inputs, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight, mean, variance, total = ctx.saved_tensors
        gradient = _exact(gradients[0])
        over = [dimension for dimension in range(inputs.dim()) if dimension != 1]
        shape = [1, -1] + [1] * (inputs.dim() - 2)
        inverse = (variance + ctx.eps).rsqrt()
        normalised = (inputs - mean.view(shape)) * inverse.view(shape)
        of_bias, of_weight = gradient.sum(over), (gradient * normalised).sum(over)
        sums = torch.stack([of_bias, of_weight])
        dist.all_reduce(sums)
        by_mean, by_deviation = (sums / total.to(sums)).unbind()
        centred = gradient - by_mean.view(shape) - normalised * by_deviation.view(shape)
        of_inputs = (centred * (weight * inverse).view(shape)).to(inputs.dtype)
        return of_inputs, of_weight, of_bias, None, None, None, None


class _Synchronised:
    """What replaces ``forward`` of a batch normalisation; its parameters, buffers and their names stay."""

    def forward(self: Any, inputs: Float[Tensor, "batch channels ..."]) -> Float[Tensor, "batch channels ..."]:
        """Normalise by the statistics of all ranks' parts in a training step; like any other layer otherwise."""
        together = _over_all_ranks.get() and dist.is_initialized() and dist.get_world_size() > 1
        if not (self.training and together):
            return super().forward(inputs)  # type: ignore[misc,no-any-return]
        self._check_input_dim(inputs)
        with torch.no_grad():
            mean, variance, total = _moments(inputs)
            if self.track_running_stats:
                self.num_batches_tracked.add_(1)
                fraction = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
                self.running_mean.lerp_(mean.to(self.running_mean), fraction)
                self.running_var.lerp_((variance * total / (total - 1).clamp(min=1)).to(self.running_var), fraction)
            mean, variance = mean.to(_exact(inputs).dtype), variance.to(_exact(inputs).dtype)
        weight = self.weight if self.affine else torch.ones_like(mean)
        bias = self.bias if self.affine else torch.zeros_like(mean)
        normalised: Tensor = _Normalise.apply(inputs, weight, bias, mean, variance, total, self.eps)
        return normalised


class SynchronisedBatchNorm1d(_Synchronised, nn.BatchNorm1d):
    """Batch normalisation of vectors over all ranks."""


class SynchronisedBatchNorm2d(_Synchronised, nn.BatchNorm2d):
    """Batch normalisation of images over all ranks."""


class SynchronisedBatchNorm3d(_Synchronised, nn.BatchNorm3d):
    """Batch normalisation of volumes over all ranks."""


_SYNCHRONISED = dict(
    zip(_KINDS, (SynchronisedBatchNorm1d, SynchronisedBatchNorm2d, SynchronisedBatchNorm3d), strict=True)
)


def is_synchronised(network: nn.Module) -> bool:
    """Whether every rank has to take part in each forward pass."""
    return any(isinstance(module, _Synchronised | nn.SyncBatchNorm) for module in network.modules())


def synchronise(network: nn.Module) -> None:
    """Let every batch normalisation of a network take its statistics over the parts of all ranks, in place.

    `UserError` if one is of the network's own kind, whose ``forward`` is not known.
    """
    for name, module in network.named_modules():
        if type(module) in _SYNCHRONISED:
            become(module, _SYNCHRONISED[type(module)])
        elif isinstance(module, _BatchNorm) and not isinstance(module, (_Synchronised, nn.SyncBatchNorm)):
            raise UserError(
                f"'{name}' is a {type(module).__name__}, which cannot be synchronised over processes; "
                "set --training.batch_statistics local"
            )
