"""Where the time of a training step goes, and what bounds it: parts, arithmetic, bytes. For `training.py`."""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from repro.config import Config
from repro.data.loading.batches import DeviceBatches
from repro.runs.stop import Interrupted

Loop = Iterator[tuple[Tensor, Tensor]]


def now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    alone = device == "cpu" and torch.get_num_threads() == 1
    return time.process_time() if alone else time.perf_counter()


def parts(config: Config, given: argparse.Namespace, run: Callable[[Config, Callback], Any]) -> dict[str, float]:
    """Seconds of a step by what they go to; on a GPU with a wait at every border, so that their sum is longer.

    `run` trains a configuration until the callback stops it.
    """
    spent: dict[str, float] = defaultdict(float)

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            started, before = now(given.device), sum(spent.values())
            try:
                return call(*arguments, **options)
            finally:
                inside = sum(spent.values()) - before
                spent[name] += now(given.device) - started - inside

        return wrapped

    class Watch(Callback):
        def __init__(self) -> None:
            self.started = 0.0

        def on_train_start(self, trainer: Any, module: Any) -> None:
            for name, method in (
                ("forward and loss", "training_scores"),
                ("forward and loss", "_losses"),
                ("means of the epoch", "_count"),
                ("logging", "_record_step"),
                ("logging", "penalty"),
                ("backward", "backward"),
            ):
                setattr(module, method, timed(name, getattr(module, method)))
            (optimiser,) = trainer.optimizers
            started = 0.0

            def begin(*_arguments: Any) -> None:
                nonlocal started
                started = now(given.device)

            after = module.backward

            def backward(*arguments: Any, **options: Any) -> None:
                after(*arguments, **options)
                begin()

            module.backward = backward
            optimiser.register_step_post_hook(
                lambda *_arguments: spent.__setitem__("optimiser", spent["optimiser"] + now(given.device) - started)
            )

        def on_train_batch_end(self, trainer: Any, *_arguments: Any) -> None:
            if trainer.global_step == 1:
                spent.clear()
                self.started = now(given.device)
            elif trainer.global_step == given.profiled + 1:
                spent["Lightning and callbacks"] = now(given.device) - self.started - sum(spent.values())
                raise Interrupted("done")

    original = DeviceBatches.__iter__

    def batches(self: DeviceBatches) -> Loop:
        iterator = original(self)
        following = timed("data", lambda: next(iterator, None))
        while (batch := following()) is not None:
            yield batch

    DeviceBatches.__iter__ = batches  # type: ignore[method-assign]
    try:
        run(config, Watch())
    finally:
        DeviceBatches.__iter__ = original  # type: ignore[method-assign]
    return {name: seconds / given.profiled for name, seconds in spent.items()}


def arithmetic(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[int, int]:
    """Operations (a multiplication and an addition are two) and the fewest bytes of a step, layer by layer."""
    moved = 0

    def note(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal moved
        read, written = inputs[0].numel(), output.numel()
        moved += 4 * ((read + written) + (2 * read + written))  # forward; backward reads both and writes one

    leaves = [module for module in network.modules() if not any(module.children())]
    hooks = [module.register_forward_hook(note) for module in leaves if not isinstance(module, nn.Identity)]
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(network(images), labels).backward()
    for hook in hooks:
        hook.remove()
    weights = sum(parameter.numel() for parameter in network.parameters())
    return counter.get_total_flops(), moved + 4 * weights * (2 + 1 + 5)  # passes; gradient; SGD with momentum


def ceilings(device: str, dtype: torch.dtype = torch.float32) -> tuple[float, float]:
    """Operations (of this dtype) and bytes a second: the best of some large matrix products and copies."""
    side, length = (8192, 1 << 28) if device == "cuda" else (2048, 1 << 25)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    source, target = torch.randn(length, device=device), torch.empty(length, device=device)

    def best(work: Callable[[], Any]) -> float:
        times = []
        for _ in range(7):
            started = now(device)
            work()
            times.append(now(device) - started)
        return min(times)

    return 2 * side**3 / best(lambda: a @ b), 8 * length / best(lambda: target.copy_(source))
