"""What all ranks decide together, on the host: no device waits for it."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist


class Agreement:
    """Exchanges small values between all ranks, over a gloo group of its own; alone it hands them back.

    Every rank has to call the same methods in the same order.
    """

    def __init__(self) -> None:
        self._own: Any = None

    @property
    def _together(self) -> bool:
        return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1

    def _group(self) -> Any:
        if self._own is None:
            self._own = dist.new_group(backend="gloo")
        return self._own

    def highest(self, *values: int) -> list[int]:
        """The highest that any rank gives, of each value."""
        if not self._together:
            return list(values)
        highest = torch.tensor(values, dtype=torch.int64)
        dist.all_reduce(highest, dist.ReduceOp.MAX, group=self._group())
        return [int(value) for value in highest]

    def gathered(self, value: Any) -> list[Any]:
        """What every rank gives, by rank: anything that can be pickled."""
        if not self._together:
            return [value]
        values: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(values, value, group=self._group())
        return values
