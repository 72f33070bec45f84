"""The mode and precision in which a network is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from repro.errors import UserError
from repro.networks.preserve_state import preserve_state


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
def measurement_mode(network: nn.Module, mode: str = "eval") -> Iterator[Callable[[], None]]:
    """Look at a network, in ``eval`` mode or ``train`` (the probe's own statistics), with float32 products.

    Everything is left as it was; what a pass does to buffers (running statistics) is taken back. Yields what does so at
    once.
    """
    if mode not in ("eval", "train"):
        raise UserError(f"mode is '{mode}'; allowed: eval (running statistics), train (the probe's own)")
    # What is compiled runs as it is written: hooks inside of it are not called otherwise.
    eager = torch.compiler.set_stance("force_eager")
    with torch.inference_mode(False), preserve_state(network) as put_back, full_precision(), eager:
        network.train(mode == "train")
        yield put_back
