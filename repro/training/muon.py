"""Muon for the hidden matrices and kernels, AdamW for the rest: torch's own two, as one optimiser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer

from repro.errors import UserError
from repro.networks.skip import without_skips


def hidden_matrices(network: nn.Module) -> list[nn.Parameter]:
    """The trained weights of linear and convolutional layers but the first and the last, in order of registration.

    Those are Muon's, "all the convolutional filters except the first one", as its author asks
    (github.com/KellerJordan/Muon). Skip connections to the output are output layers too.
    """
    kinds = nn.modules.conv._ConvNd | nn.Linear
    weights = [module.weight for module in without_skips(network).modules() if isinstance(module, kinds)]
    outer = set(map(id, weights[:1] + weights[-1:]))
    hidden = [
        weight
        for weight in dict.fromkeys(weights)  # layers may share one
        if isinstance(weight, nn.Parameter) and weight.requires_grad and id(weight) not in outer
    ]
    if not hidden:
        raise UserError(
            "training.optimizer muon is for the matrices between a network's first and last layer, and this one trains "
            "none; take sgd or adamw"
        )
    return hidden


class MuonWithAdamW(Optimizer):
    """torch's Muon on `matrices`, of two dimensions or more, and torch's AdamW on the rest, with one learning rate.

    Muon takes matrices only. A kernel of out × in × height × width is shown to it as the matrix of out rows that lies
    in the same memory, and so is the kernel's momentum; the parameters and their state keep their shapes. The order of
    the columns is that of the memory, which the orthogonalised matrix does not depend on. Updates are scaled by 0.2 ·
    √(larger side), so that their entries are of AdamW's size (Liu et al. 2025, arXiv:2502.16982). The momentum is
    Muon's, AdamW has torch's own β; weight decay is of both, W ← (1 − lr · weight_decay) W at each step.
    """

    def __init__(
        self,
        matrices: Sequence[nn.Parameter],
        rest: Sequence[nn.Parameter],
        *,
        lr: float,
        momentum: float,
        nesterov: bool,
        weight_decay: float,
    ) -> None:
        groups: list[dict[str, Any]] = [
            {"params": list(matrices), "momentum": momentum, "nesterov": nesterov},
            {"params": list(rest), "fused": None},
        ]
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step with both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        of_muon, of_adamw = (
            {**group, "params": [parameter for parameter in group["params"] if parameter.grad is not None]}
            for group in self.param_groups
        )
        if of_muon["params"]:
            self._step_matrices(**of_muon)
        if of_adamw["params"]:
            adamw = AdamW([of_adamw])
            adamw.state = self.state  # of the same parameters
            adamw.step()
        return loss

    def _step_matrices(self, params: Sequence[nn.Parameter], **options: Any) -> None:
        shown = {parameter: _as_matrix(parameter.detach(), parameter) for parameter in params}
        muon = Muon(list(shown.values()), **options, adjust_lr_fn="match_rms_adamw")
        for parameter, matrix in shown.items():
            assert parameter.grad is not None
            state = self.state[parameter]
            if not state:
                state["momentum_buffer"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
            matrix.grad = _columns(parameter.grad, parameter).flatten(1)
            muon.state[matrix] = {"momentum_buffer": _as_matrix(state["momentum_buffer"], parameter)}
        muon.step()


def _columns(tensor: Tensor, parameter: Tensor) -> Tensor:
    """The tensor with the dimensions after the first in the order in which the parameter's lie in memory."""
    strides = parameter.stride()
    return tensor.permute(0, *sorted(range(1, parameter.ndim), key=lambda axis: -strides[axis]))


def _as_matrix(tensor: Tensor, parameter: Tensor) -> Tensor:
    """The same memory as a matrix; torch raises where it cannot be one."""
    return _columns(tensor, parameter).view(len(parameter), -1)
