"""What processes exchange and decide together: real processes, gloo."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from repro.distributed.ranks import Ranks

RANK = """
import json
import torch
import torch.distributed as dist
from repro.distributed.ranks import Ranks

said = []
for turn in range(2):  # a default group of its own for each run of a study
    dist.init_process_group("gloo", init_method=f"file://{folder}/store{turn}", rank=rank, world_size=3)
    ranks = Ranks.of_process_group()
    network = torch.nn.BatchNorm1d(2)
    network.running_mean.fill_(rank + 1)
    network.num_batches_tracked.fill_(rank + 7)
    ranks.broadcast_buffers(network)
    said.append([
        (ranks.rank, ranks.size),
        ranks.gather({"of": rank}),
        ranks.gather_sorted([(2 - rank, "a"), (5, rank)], lambda each: each[0]),
        ranks.maximum(rank, -rank),
        [ranks.all_agree(True), ranks.all_agree(rank != 1), ranks.all_agree(False)],
        [network.running_mean.tolist(), int(network.num_batches_tracked)],
    ])
    dist.destroy_process_group()
with open(f"{folder}/said-{rank}.json", "w") as file:
    json.dump(said, file)
"""


@pytest.mark.slow
def test_three_processes_say_the_same(tmp_path: Path, on_ranks: Callable[..., list[int | None]]) -> None:
    assert on_ranks(RANK, 3, folder=str(tmp_path)) == [0, 0, 0]
    said = [json.loads((tmp_path / f"said-{rank}.json").read_text()) for rank in range(3)]
    for rank, turns in enumerate(said):
        for own, gathered, ordered, highest, agreed, buffers in turns:
            assert own == [rank, 3]
            assert gathered == [{"of": 0}, {"of": 1}, {"of": 2}]
            assert ordered == [[0, "a"], [1, "a"], [2, "a"], [5, 0], [5, 1], [5, 2]]
            assert highest == [2, 0]
            assert agreed == [True, False, False]
            assert buffers == [[1.0, 1.0], 7]


def test_alone_everything_comes_back() -> None:
    ranks = Ranks.of_process_group()
    assert ranks == Ranks(0, 1)
    assert ranks.gather("mine") == ["mine"]
    assert ranks.gather_sorted([3, 1], lambda each: each) == [3, 1]
    assert ranks.maximum(4, -2) == [4, -2]
    assert ranks.all_agree(True)
    assert not ranks.all_agree(False)
