"""The training pass of a network compiled by torch, in place and only while a training step runs.

Whatever else looks at the network (measurements by their hooks, evaluations, checkpoints) has the modules as they are
written: a compiled module passes over hooks that were registered after it was compiled.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from repro.errors import UserError, first_line
from repro.lightning_compat import compiled, take_compiled_call
from repro.networks.skip import without_skips
from repro.training.sync_batchnorm import is_synchronised

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_NOISE = ("torch.utils.cpp_extension", "torch._dynamo", "torch._inductor")  # what matters is raised


class Compiled:
    """A network whose pass is compiled for the largest batch seen so far; smaller ones go through it as it is written.

    So the last, smaller batch of an epoch costs no second compilation. The result differs from the plain network's by
    rounding, as another device's does; random numbers are the same. Compiled is each kind of block that repeats, once
    for all of its places, or the whole network. It is on its device when it is called; its parameters keep their names.
    `UserError` where it has no block that repeats, or has batch normalisation over several processes.
    """

    def __init__(self, network: nn.Module, what: Literal["blocks", "network"], *, mode: str = "default") -> None:
        for name in _NOISE:
            logging.getLogger(name).setLevel(logging.ERROR)
        self._network = network
        self._what = what
        if is_synchronised(network):
            raise UserError(
                f"trainer.compile {what} does not go with batch normalisation over several processes, which wait for "
                f"each other in every layer; set --training.batch_statistics local, or --trainer.compile none"
            )
        self.modules, of = ([network], 1) if what == "network" else _blocks(network)
        self.described = what if what == "network" else f"blocks, {len(self.modules)} of {of}"
        self.described += "" if mode == "default" else f", {mode}"
        options = {**({} if mode == "default" else torch._inductor.list_mode_options(mode)), "fallback_random": True}
        self._calls: list[tuple[nn.Module, Callable[..., Any]]] = []
        for module in self.modules:
            # A graph break would leave parts as they are without a word; fullgraph makes it an error.
            module.compile(fullgraph=True, dynamic=False, options=options)
            self._calls.append((module, take_compiled_call(module)))
        self._largest = 0

    def __call__(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Class scores; `UserError` if torch cannot compile the network."""
        if len(images) < self._largest:
            scores: Tensor = self._network(images)
            return scores
        self._largest = len(images)
        with self.refusing(), compiled(self._calls):
            scores = self._network(images)
        return scores

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Tell in one line what torch cannot compile; a backward pass may be compiled when it first runs."""
        from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

        try:
            yield
        except (TorchDynamoException, FailOnRecompileLimitHit) as error:
            raise UserError(
                f"trainer.compile {self._what} cannot compile {type(self._network).__name__}: "
                f"{type(error).__name__}: {first_line(error)}; set --trainer.compile none"
            ) from error


def require_compiler(device: torch.device) -> None:
    """Refuse before the training what the first step would find missing: a C++ compiler for a CPU, Triton for a GPU."""
    if device.type == "cuda":
        from torch.utils._triton import has_triton

        if not has_triton():
            raise UserError(
                "trainer.compile needs Triton (pip install triton) and a GPU of compute capability 7.0 or more; "
                "or set --trainer.compile none"
            )
        return
    wanted = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++"]
    if not any(shutil.which(name) for name in wanted):
        raise UserError(
            f"trainer.compile needs a C++ compiler on a CPU and finds no {' or '.join(wanted)}; install one, "
            f"name it in CXX, or set --trainer.compile none"
        )


def _blocks(network: nn.Module) -> tuple[list[nn.Module], int]:
    """The blocks that repeat in their row, down to their sizes, and how many blocks there are in all.

    A block is a module with parts that stands in a row with others of its class. One that is listened to, as for skip
    connections to the output, stays as it is: what listens is another function in each block.
    """
    blocks: list[tuple[str, nn.Module]] = []  # row, block

    def collect(prefix: str, module: nn.Module) -> None:
        in_row = isinstance(module, _CONTAINERS)
        classes = Counter(type(child) for child in module.children())
        for name, child in module.named_children():
            alike = classes[type(child)] > 1 and not isinstance(child, _CONTAINERS) and any(child.children())
            if in_row and alike:
                blocks.append((prefix, child))
            else:
                collect(f"{prefix}{name}.", child)

    collect("", network)
    free = [(row, block) for row, block in blocks if not any(part._forward_hooks for part in block.modules())]
    kinds = Counter((row, repr(block)) for row, block in free)
    repeated = [block for row, block in free if kinds[row, repr(block)] > 1]
    if repeated:
        return repeated, len(blocks)
    if blocks and not free:
        reason = f"every one of its {len(blocks)} blocks is listened to, for skip connections to the output"
    elif blocks:
        reason = f"no two of its {len(free)} blocks have the same sizes in a row"
    else:
        reason = "it is no row of blocks"
    kind = type(without_skips(network)).__name__
    raise UserError(
        f"trainer.compile blocks compiles repeated blocks, and {kind} has none: {reason}; "
        "take --trainer.compile network, or none"
    )
