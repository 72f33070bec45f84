"""Whether two runs ended alike, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from repro.records import RunDirectory, metrics, readings

_STATE = ("state_dict", "optimizer_states", "lr_schedulers", "generators")


def differences(run: RunDirectory, other: RunDirectory) -> list[str]:
    """Names of what differs between two finished runs, bit for bit: checkpoint, metrics, readings, final numbers."""
    ours, theirs = (torch.load(each.saved_checkpoints()[-1], weights_only=True) for each in (run, other))
    found = [
        name for key in _STATE if key in ours or key in theirs for name in _unequal(ours.get(key), theirs.get(key), key)
    ]
    found += ["metrics"] if not metrics(run).equals(metrics(other)) else []
    found += ["readings"] if not readings(run).equals(readings(other)) else []
    found += ["final numbers"] if run.state.get("final") != other.state.get("final") else []
    return found


def _bits(values: torch.Tensor) -> torch.Tensor:
    return values.reshape(-1).view(torch.uint8)


def _unequal(ours: Any, theirs: Any, name: str) -> Iterator[str]:
    if type(ours) is not type(theirs):
        yield name
    elif isinstance(ours, torch.Tensor):
        alike = ours.dtype == theirs.dtype and ours.shape == theirs.shape
        if not (alike and torch.equal(_bits(ours), _bits(theirs))):  # one NaN is another's equal
            yield name
    elif isinstance(ours, dict):
        for key in {**ours, **theirs}:
            yield from _unequal(ours.get(key), theirs.get(key), f"{name}.{key}")
    elif isinstance(ours, list | tuple):
        if len(ours) != len(theirs):
            yield name
        for number, (one, another) in enumerate(zip(ours, theirs, strict=False)):
            yield from _unequal(one, another, f"{name}.{number}")
    elif ours != theirs:
        yield name
