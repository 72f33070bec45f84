"""How ranks share the work of a measurement: layers are dealt by cost, and the readings gathered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from repro.spectra.sharing import Dealer, assign

Item = TypeVar("Item")


@dataclass(frozen=True)
class Share:
    """One rank's part. All ranks hold the same weights and the same probe; each reduces its own layers."""

    rank: int = 0
    ranks: int = 1

    @classmethod
    def of_process_group(cls) -> Share:
        """This process's part in torch's default process group; the whole if there is none."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    def assign(self, costs: Sequence[float]) -> list[int]:
        """Which of the items with these costs are this rank's."""
        return assign(costs, self.ranks)[self.rank]

    def dealer(self) -> Callable[[float], bool]:
        """Says of one item after the other whether it is this rank's, for items that show up one at a time.

        Every rank has to ask about the same items in the same order.
        """
        dealer = Dealer(self.ranks)
        return lambda cost: dealer.give(cost) == self.rank

    def broadcast_buffers(self, network: nn.Module) -> None:
        """Take rank 0's buffers: running statistics drift apart, since each rank normalises its own batches."""
        if self.ranks == 1:
            return
        by_dtype: defaultdict[torch.dtype, list[Tensor]] = defaultdict(list)
        for buffer in network.buffers():
            by_dtype[buffer.dtype].append(buffer)
        for buffers in by_dtype.values():  # together: a message for each would take longer than many a measurement
            flat = torch.cat([buffer.flatten() for buffer in buffers])
            dist.broadcast(flat, 0)
            for buffer, part in zip(buffers, flat.split([buffer.numel() for buffer in buffers]), strict=True):
                buffer.copy_(part.view_as(buffer))

    def gather(self, items: list[Item], order: Callable[[Item], int]) -> list[Item]:
        """All ranks' items, on every rank, sorted; each rank's own order is kept among equals.

        Args:
            items: This rank's; they are pickled.
            order: What to sort them by.
        """
        if self.ranks == 1:
            return items
        parts: list[list[Item]] = [[] for _ in range(self.ranks)]
        dist.all_gather_object(parts, items)
        return sorted((item for part in parts for item in part), key=order)
