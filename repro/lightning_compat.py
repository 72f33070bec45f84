"""What is done to Lightning and torch against their will, in one place; each with its reason."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lightning.pytorch import Trainer
from torch import nn

_NOTES = (
    ".*does not have many workers.*",
    ".*tensorboardX.*",
    ".*GPU available but not used.*",
    ".*treespec, LeafSpec.*",
    ".*`srun` command is available.*",  # on a login node, or a laptop with SLURM
    ".*module.s. in eval mode at the start of training.*",  # frozen layers are meant to be
    ".*smaller than the logging interval.*",
    ".*Total length of .* across ranks is zero.*",  # nothing is held out, or nothing is left to train
    ".*Trying to infer the `batch_size`.*",
)


def quiet() -> None:
    """Keep Lightning's notes to themselves: what matters, this program says."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for note in _NOTES:
        warnings.filterwarnings("ignore", message=note)


def without_signal_handlers(trainer: Trainer) -> Trainer:
    """The trainer, which leaves signals alone.

    Lightning's handlers save and synchronise inside of the signal handler, which hangs under DDP; `StopRequest` listens
    in their place. Lightning has no option for it.
    """
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    return trainer


def take_compiled_call(module: nn.Module) -> Any:
    """Take what `torch.nn.Module.compile` has put into a module's call out of it again, to be used by `compiled`."""
    return module.__dict__.pop("_compiled_call_impl")


@contextmanager
def compiled(calls: Sequence[tuple[nn.Module, Any]]) -> Iterator[None]:
    """Let modules run as they were compiled, within: torch has no way to switch between the two."""
    for module, call in calls:
        module.__dict__["_compiled_call_impl"] = call
    try:
        yield
    finally:
        for module, _ in calls:
            del module.__dict__["_compiled_call_impl"]


def become(module: nn.Module, kind: type[nn.Module]) -> None:
    """Make a module one of a subclass that adds no state, in place: its hooks, names and parameters stay."""
    module.__class__ = kind
