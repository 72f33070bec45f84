"""This process among all that hold the same network: what they share out, exchange and decide together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import torch
import torch.distributed as dist
from torch import Tensor, nn

from repro.spectra.sharing import Dealer, assign

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

Item = TypeVar("Item")


@dataclass(frozen=True)
class Ranks:
    """One process of several; alone, its methods return what they are given.

    Exchanges go over the host, by a gloo group of their own, so that no device waits for them. Every rank has to call
    the same methods in the same order.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """This process's number among those of this machine."""
    local_size: int = 1
    """How many processes this machine has."""
    machine: int = 0

    @classmethod
    def of_process_group(cls) -> Ranks:
        """This process in torch's default process group; alone if there is none."""
        met = dist.is_available() and dist.is_initialized()
        return cls(dist.get_rank(), dist.get_world_size()) if met else cls()

    @classmethod
    def of(cls, trainer: Trainer) -> Ranks:
        """This process among those of a trainer."""
        local = {"local_rank": trainer.local_rank, "local_size": trainer.num_devices, "machine": trainer.node_rank}
        return cls(trainer.global_rank, trainer.world_size, **local)

    # Shared out

    def assign(self, costs: Sequence[float]) -> list[int]:
        """Indices of the items, by their costs, that this rank is to do."""
        return assign(costs, self.size)[self.rank]

    def dealer(self) -> Callable[[float], bool]:
        """Says of one item after the other whether it is this rank's, for items that show up one at a time.

        Every rank has to ask about the same items in the same order.
        """
        dealer = Dealer(self.size)
        return lambda cost: dealer.give(cost) == self.rank

    # Exchanged

    def gather(self, value: Item) -> list[Item]:
        """What every rank gives, by rank: anything that can be pickled."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=_on_hosts())
        return values

    def gather_sorted(self, items: list[Item], order: Callable[[Item], int]) -> list[Item]:
        """All ranks' items (pickled), on every rank, sorted; each rank's own order is kept among equals."""
        if self.size == 1:
            return items
        return sorted((item for part in self.gather(items) for item in part), key=order)

    def maximum(self, *values: int) -> list[int]:
        """For each value, the largest that any rank gives."""
        if self.size == 1:
            return list(values)
        highest = torch.tensor(values, dtype=torch.int64)
        dist.all_reduce(highest, dist.ReduceOp.MAX, group=_on_hosts())
        return [int(value) for value in highest]

    def all_agree(self, value: bool) -> bool:
        """Whether `value` is true on every rank; no rank goes on before all have answered."""
        return self.maximum(not value) == [0]

    def broadcast_buffers(self, network: nn.Module) -> None:
        """Take rank 0's buffers: running statistics drift apart, since each rank normalises its own batches."""
        if self.size == 1:
            return
        by_dtype: defaultdict[torch.dtype, list[Tensor]] = defaultdict(list)
        for buffer in network.buffers():
            by_dtype[buffer.dtype].append(buffer)
        for buffers in by_dtype.values():  # together: a message for each would take longer than many a measurement
            flat = torch.cat([buffer.flatten() for buffer in buffers])
            dist.broadcast(flat, 0)
            for buffer, part in zip(buffers, flat.split([buffer.numel() for buffer in buffers]), strict=True):
                buffer.copy_(part.view_as(buffer))


# The group over the hosts beside each default group of torch's, and no longer than that: a group that outlives the end
# of the processes' exchange ends a process by a signal.
_hosts: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


def _on_hosts() -> Any:
    world = dist.group.WORLD
    if world not in _hosts:
        _hosts[world] = dist.new_group(backend="gloo")
    return _hosts[world]
