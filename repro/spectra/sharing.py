"""Work of different sizes shared out: among processes, and among threads for what a library does with one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch

MOST_THREADS = 8
"""Threads at work at once: between two calls of a library each needs Python's lock. Two were measured, not eight."""

_WORTH_IT = 4e7
"""Costs in all from which threads are worth waking: about three layers of 64 channels, a millisecond and a half."""

_AS_GOOD = 1.05
"""How much dearer the dearest part may be where items that are alike stay together."""


class Dealer:
    """Gives items that show up one at a time to the one of `parts` that has least so far, by Graham's rule (1969)."""

    def __init__(self, parts: int) -> None:
        self._loads = [0.0] * parts

    def give(self, cost: float) -> int:
        """The part that an item of this cost goes to."""
        part = self._loads.index(min(self._loads))
        self._loads[part] += cost
        return part


def assign(costs: Sequence[float], parts: int) -> list[list[int]]:
    """Which items go to which part, so that no part gets much more than 4/3 of the best possible.

    In the order of their costs and cut into parts, items that are alike stay together: a library's call for many of one
    shape beats a few calls in every part. Where no cut balances them, the dearest are given out first, one by one.
    """
    order = sorted(range(len(costs)), key=lambda item: -costs[item])
    fair = sum(costs) / parts or 1.0
    cut: list[list[int]] = [[] for _ in range(parts)]
    dealt: list[list[int]] = [[] for _ in range(parts)]
    dealer, before = Dealer(parts), 0.0
    for item in order:
        cut[min(int((before + costs[item] / 2) / fair), parts - 1)].append(item)
        dealt[dealer.give(costs[item])].append(item)
        before += costs[item]
    heaviest = [max(sum(costs[item] for item in items) for items in division) for division in (cut, dealt)]
    return [sorted(items) for items in (cut if heaviest[0] <= _AS_GOOD * heaviest[1] else dealt)]


def in_threads(work: Callable[[list[int]], None], costs: Sequence[float]) -> None:
    """Do independent items of work on the host, several at a time where that is faster.

    LAPACK takes matrices one after the other, and small products gain little from a team of threads: as many items at a
    time as there are threads keep all processors busy. An item that is dearer than a thread's fair share goes before
    the others, with torch's whole team. `work` does the items with these indices, in the caller's no_grad or inference
    mode; costs are those of `repro.spectra.cost`.
    """
    team = torch.get_num_threads()
    threads = min(team, MOST_THREADS, len(costs))
    left = sum(costs)
    if threads < 2 or left < _WORTH_IT:
        work(list(range(len(costs))))
        return
    together = sorted(range(len(costs)), key=lambda item: -costs[item])
    while together and costs[together[0]] * threads > left:
        left -= costs[together[0]]
        work([together.pop(0)])
    parts = [sorted(together[item] for item in items) for items in assign([costs[item] for item in together], threads)]
    inference = torch.is_inference_mode_enabled()

    def in_thread(items: list[int]) -> None:
        with torch.inference_mode(inference), torch.no_grad():
            work(items)

    list(_pool(threads, os.getpid()).map(in_thread, parts))


@cache
def _pool(threads: int, _process: int) -> ThreadPoolExecutor:
    """Threads without a team of their own, kept: to end them costs as much as a network's worth of small matrices.

    A fork does not take threads with it, so that the process is part of the key.
    """
    team = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, "spectra", initializer=_without_a_team)
    together = threading.Barrier(threads)
    list(pool.map(lambda _: together.wait(), range(threads)))  # all have begun
    torch.set_num_threads(team)  # what a thread sets for itself is what all that begin later start with
    return pool


def _without_a_team() -> None:
    torch.get_num_threads()  # a thread's first use of torch sets it to the process's number, whatever was set before
    torch.set_num_threads(1)
