"""Reads a checkpoint file without running code from it, and checks that it holds what this package writes."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from repro.errors import UserError, first_line, no_pipe, refusing
from repro.records import replace_files

_KINDS: dict[str, type] = {
    "state_dict": dict,
    "optimizer_states": list,
    "loops": dict,
    "callbacks": dict,
    "epoch": int,
    "global_step": int,
    "pytorch-lightning_version": str,
}


def read(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """The content of a checkpoint that this package has written; `UserError` if it cannot be read or is none."""
    try:
        content = torch.load(no_pipe(path), map_location=map_location, weights_only=True)
    except (OSError, RuntimeError, LookupError, TypeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise _unusable(path, reason) from error
    if wrong := _wrong(content):
        raise _unusable(path, f"it is none of ours: {wrong}")
    return dict(content)


def _unusable(path: Path, reason: str) -> UserError:
    return UserError(f"cannot use checkpoint '{path}': {reason}; name another, or move it away and start again")


def _wrong(content: object) -> str:
    if not isinstance(content, dict):
        return f"it holds a {type(content).__name__}"
    for key, kind in _KINDS.items():
        if not isinstance(content.get(key), kind):
            return f"its {key} is {f'a {type(content[key]).__name__}' if key in content else 'not there'}"
    if not all(isinstance(weight, Tensor) for weight in content["state_dict"].values()):
        return "its state_dict holds something else than tensors"
    states = content["optimizer_states"]
    if not all(isinstance(state, dict) and {"state", "param_groups"} <= state.keys() for state in states):
        return "its optimizer_states are not those of optimisers"
    try:
        signed = isinstance(json.loads(content.get("signature", "{}")), dict)
    except (ValueError, TypeError, RecursionError):
        signed = False
    return _wrong_generators(content.get("generators")) if signed else "its signature cannot be read"


def _wrong_generators(generators: Any) -> str:
    """What is wrong with the ranks' generators; a run that went on without them would silently draw other numbers."""
    usual = torch.get_rng_state()
    whole = isinstance(generators, list) and len(generators) > 0
    for item in generators if whole else ():
        state = item.get("torch") if isinstance(item, dict) and {"python", "numpy", "device"} <= item.keys() else None
        whole = whole and isinstance(state, Tensor) and state.shape == usual.shape and state.dtype == usual.dtype
    return "" if whole else "its random generators are not there or not whole"


def other_weights(saved: dict[str, Tensor], own: dict[str, Tensor]) -> str:
    """How a checkpoint's weights (`saved`) differ from a network's (`own`), in words; empty if only in values."""
    for name, value in own.items():
        if name not in saved:
            return f"it has no {name}"
        if saved[name].shape != value.shape:
            return f"{name} is {tuple(saved[name].shape)} there and {tuple(value.shape)} here"
    extra = saved.keys() - own.keys()
    return f"it has {min(extra)}, which the network has not" if extra else ""


_NETWORK = "network."


def write_weights(checkpoint: Path, path: Path) -> None:
    """Write the network's weights of a checkpoint as safetensors, named as in the network's ``state_dict``."""
    from safetensors.torch import save

    content = read_weights(checkpoint) if checkpoint.suffix == path.suffix else read(checkpoint)
    weights = content["state_dict"]
    if checkpoint.suffix != path.suffix:  # a module's, with the sums of its metrics
        weights = {key.removeprefix(_NETWORK): value for key, value in weights.items() if key.startswith(_NETWORK)}
    tensors = {key: value.contiguous().clone() for key, value in weights.items()}  # safetensors shares no memory
    facts = {"format": "pt", "epoch": str(content["epoch"]), "global_step": str(content["global_step"])}
    with refusing(f"cannot write '{path}'", "make room, or choose another --out"):
        replace_files({path: save(tensors, metadata=facts)}, lasting=True)


def read_weights(path: Path) -> dict[str, Any]:
    """What `write_weights` wrote: ``state_dict``, ``epoch``, ``global_step``; safetensors hold no code."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it is no mapping)
            return {"state_dict": weights, **{key: int(facts.get(key, 0)) for key in ("epoch", "global_step")}}
    except (OSError, SafetensorError, ValueError) as error:
        raise _unusable(path, first_line(error)) from error
