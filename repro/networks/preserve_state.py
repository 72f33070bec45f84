"""Look at a network and leave everything as it was."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def preserve_state(network: nn.Module) -> Iterator[Callable[[], None]]:
    """Puts back the modes and buffers of a network and the random generators of its devices; gradients are off.

    Yields what puts back the buffers at once. Not `torch.inference_mode`: a network that caches what it computes here
    could not train with it afterwards.
    """
    modes = [(module, module.training) for module in network.modules()]
    buffers = [
        (module, name, buffer, None if buffer is None else buffer.clone())
        for module in network.modules()
        for name, buffer in module._buffers.items()
    ]

    def put_back() -> None:
        for module, name, buffer, before in buffers:
            module._buffers[name] = buffer
            if buffer is not None and before is not None:
                buffer.copy_(before)

    devices = {tensor.device for tensor in (*network.parameters(), *network.buffers())}
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (the global generator is what is kept)
    try:
        with torch.random.fork_rng([device for device in devices if device.type == "cuda"]), torch.no_grad():
            yield put_back
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        for module, training in modes:
            module.training = training
        put_back()
