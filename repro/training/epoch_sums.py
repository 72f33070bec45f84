"""The running epoch's means in a checkpoint: each rank keeps sums and counts over its own images."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from repro.distributed.ranks import Ranks


def _sums(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    return {name: value for name, value in checkpoint["state_dict"].items() if name.startswith("train_metrics.")}


def save(checkpoint: dict[str, Any]) -> None:
    """Put the sums of every rank into a checkpoint, of which rank 0's alone would be written."""
    ranks = Ranks.of_process_group()
    if ranks.size == 1:
        return
    by_rank = {}
    for name, value in _sums(checkpoint).items():
        by_rank[name] = [torch.empty_like(value) for _ in range(ranks.size)]
        dist.all_gather(by_rank[name], value)
        checkpoint["state_dict"][name] = torch.stack(by_rank[name]).sum(0).to(value.dtype)
    checkpoint["epoch_sums"] = by_rank


def load(checkpoint: dict[str, Any]) -> None:
    """Take this rank's sums out of a checkpoint: its own if as many ranks go on, else on rank 0 those of all."""
    ranks, by_rank = Ranks.of_process_group(), checkpoint.get("epoch_sums", {})
    for name, value in _sums(checkpoint).items():
        if len(by_rank.get(name, ())) == ranks.size > 1:  # added in the same order as without the stop: bit for bit
            checkpoint["state_dict"][name] = by_rank[name][ranks.rank]
        elif ranks.rank:
            checkpoint["state_dict"][name] = torch.zeros_like(value)
