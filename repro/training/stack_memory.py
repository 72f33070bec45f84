"""What a step of several networks at once would hold."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from repro.errors import UserError
from repro.machine import available_memory
from repro.networks.undisturbed import undisturbed

_COPIES = 4
"""Of the parameters: weights, stacked and own gradients, momentum."""
_IMAGES = 2
"""Passed through to see what each image leaves for the backward pass."""
_USABLE = 0.8
"""Of what is free: work space, and fragments."""


def step_bytes(network: nn.Module, image: Float[Tensor, "one channels height width"], batch_size: int) -> int:
    """Bytes that one network's training step holds at its widest: parameters, and what the backward pass needs.

    Args:
        network: In training mode or not; left as it was.
        image: One image, where the network is.
        batch_size: Images of a step.
    """
    kept: dict[int, int] = {}
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    images = image.expand(_IMAGES, *image.shape[1:]).contiguous()
    with undisturbed(network), torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda each: each):
        _output = network.train()(images)  # kept, so that no memory is counted twice
    parameters = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    return _COPIES * parameters + sum(kept.values()) * batch_size // _IMAGES


def require_memory(
    network: nn.Module, image: Float[Tensor, "one channels height width"], *, batch_size: int, members: int
) -> None:
    """Refuse a stack that would not fit into the memory of the device where the network is.

    Raises:
        UserError: It would not; the error says how many would.
    """
    device = image.device
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_memory()
    each, usable = step_bytes(network, image, batch_size), _USABLE * free
    if members * each > usable:
        fits = int(usable // each)
        advice = f"--stack {fits} would fit" if fits > 1 else "no two would fit, run it without --stack"
        raise UserError(
            f"a stack of {members} takes about {members * each / 1e9:.1f} GB a step, {free / 1e9:.1f} GB are free; "
            f"{advice}"
        )
